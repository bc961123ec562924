import gzip
from pathlib import Path

import pytest

from rlhf.data.readers.files import missing, read_objects


def read(path):
    faults = []
    return list(read_objects(path, faults)), faults


def test_plain_and_gzip_give_the_same_and_blank_lines_count(tmp_path):
    # a byte-order mark, a blank line, a line separator inside a text
    raw = b'\xef\xbb\xbf{"a": 1}\r\n\n{"b": "\xc3\xa9\xe2\x80\xa8"}'
    (tmp_path / "x.jsonl").write_bytes(raw)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(raw, mtime=0))
    (tmp_path / "unnamed").write_bytes(gzip.compress(raw, mtime=0))
    for name in ("x.jsonl", "x.jsonl.gz", "unnamed"):
        assert read(tmp_path / name) == ([(1, {"a": 1}), (3, {"b": "\u00e9\u2028"})], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1 "b": 2}', "not JSON at column 9: Expecting ',' delimiter"),
        (b"{'a': 1}", "not JSON at column 2: Expecting property name enclosed in double quotes"),
        (b"[1]", "a list, not an object"),
        (b'"text"', "text, not an object"),
        (b"3", "a number, not an object"),
        (b"null", "null, not an object"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 8"),
        (b"[" * 100_000, "not JSON that can be read: nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not JSON that can be read: "),
    ],
)
def test_bad_lines(tmp_path, line, reason):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    rows, faults = read(path)
    assert [number for number, _ in rows] == [1, 3]
    assert len(faults) == 1
    assert faults[0].startswith(f"{path}:2: {reason}")


def test_cut_off_gzip(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000, mtime=0)[:-12])
    _, faults = read(path)
    assert len(faults) == 1 and faults[0].startswith(f"{path}: not a whole gzip file")


@pytest.mark.parametrize("content", [b"", b"\n  \n", gzip.compress(b"", mtime=0)])
def test_empty_file(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    assert read(path) == ([], [f"{path}: empty, no row in it"])


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demonstrations.jsonl").touch()
    (tmp_path / "data" / "unlike").touch()
    wrong = tmp_path / "data" / "demonstration.jsonl"
    assert read(wrong) == ([], [missing(wrong)])
    assert (
        missing(wrong) == f"{wrong}: no such file in {tmp_path / 'data'}; did you mean"
        f' "{tmp_path / "data" / "demonstrations.jsonl"}"?'
    )
    assert (
        missing(tmp_path / "data" / "zzz")
        == f"{tmp_path / 'data' / 'zzz'}: no such file in {tmp_path / 'data'}"
    )
    folder = tmp_path / "dta" / "demonstrations.jsonl"
    assert (
        missing(folder) == f'{folder}: no "dta" in {tmp_path}; did you mean "{tmp_path / "data"}"?'
    )
    assert (
        missing(tmp_path / "data")
        == f"{tmp_path / 'data'}: a folder, not a file (it holds demonstrations.jsonl, unlike)"
    )
    assert missing(tmp_path / "data" / "unlike") is None


def test_a_variable_that_came_in_quotes(monkeypatch):
    monkeypatch.setenv("PLACE", "/data")
    assert missing(Path("$PLACE/x.jsonl")) == (
        "$PLACE/x.jsonl: variables are read by the shell alone; write /data/x.jsonl"
    )
    monkeypatch.delenv("PLACE")
    assert missing(Path("$PLACE/x.jsonl")).startswith('$PLACE/x.jsonl: no "$PLACE" in ')
