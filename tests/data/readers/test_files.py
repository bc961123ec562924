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


def test_an_array_gives_the_line_where_each_row_begins(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('\ufeff\n[{"a": 1},\n {"a":\n  "two\\n"}, 3,\n\n {"a": 4}\n]\n', "utf-8")
    rows, faults = read(path)
    assert rows == [(2, {"a": 1}), (3, {"a": "two\n"}), (6, {"a": 4})]
    assert faults == [f"{path}:4: a number, not an object"]
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read(tmp_path / "x.json.gz")[0] == rows
    (tmp_path / "unnamed").write_bytes(path.read_bytes())
    assert read(tmp_path / "unnamed")[0] == rows


@pytest.mark.parametrize(
    ("text", "rows", "fault"),
    [
        ("[]", [], ": empty, no row in it"),
        (
            '[{"a": 1}\n{"a": 2}]',
            [(1, {"a": 1})],
            ":2: not a JSON array: expected ',' or ']' after a row",
        ),
        ('[{"a": 1},\n', [(1, {"a": 1})], ":2: not JSON at column 1: Expecting value"),
        ('[{"a": 1},\n{"a" 2}]', [(1, {"a": 1})], ":2: not JSON at column 6: Expecting ':' delim"),
        ('[{"a": 1}]\n{}', [(1, {"a": 1})], ":1: not a JSON array: there is more after its ']'"),
        ("[" * 100_000, [], ":1: not JSON that can be read: nested too deeply"),
        (f"[{'1' * 5000}]", [], ":1: not JSON that can be read: "),
    ],
)
def test_broken_arrays(tmp_path, text, rows, fault):
    path = tmp_path / "x.json"
    path.write_text(text)
    found, faults = read(path)
    assert found == rows
    assert len(faults) == 1 and faults[0].startswith(f"{path}{fault}")


def test_csv_gives_text_by_the_names_of_its_first_line(tmp_path):
    raw = '\ufeffprompt, chosen\r\n"a\r\nb",é\r\n\r\n"say ""c""",\r\n'.encode()
    (tmp_path / "x.csv").write_bytes(raw)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "x.tsv").write_bytes(raw.replace(b",", b"\t"))
    # the first row begins in line 2 and has a line end in it
    rows = [
        (2, {"prompt": "a\r\nb", "chosen": "é"}),
        (5, {"prompt": 'say "c"', "chosen": ""}),
    ]
    for name in ("x.csv", "x.csv.gz", "x.tsv"):
        assert read(tmp_path / name) == (rows, [])


@pytest.mark.parametrize(
    ("raw", "lines", "fault"),
    [
        (b"a,b\n1,2\n3\n4,5\n", [2, 4], ":3: has 1 of 2 cells"),
        (b"a,b\n1,2\n3,4,5\n", [2], ":3: has 3 of 2 cells"),
        (b"a,a\n1,2\n", [], ':1: the line of names has "a" twice'),
        (b"a,\n1,2\n", [], ":1: the line of names has a column without a name"),
        (b'a,b\n1,2\n3,"4\n5,6\n', [2], ":3: not CSV: unexpected end of data"),
        (b"a,b\n1,2\n3,\xff\n", [2], ":3: not UTF-8 at byte 3"),
        (b"a,b\n", [], ": empty, no row in it"),
    ],
)
def test_broken_csv(tmp_path, raw, lines, fault):
    path = tmp_path / "x.csv"
    path.write_bytes(raw)
    rows, faults = read(path)
    assert ([line for line, _ in rows], faults) == (lines, [f"{path}{fault}"])


def test_a_long_cell(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "x" * 200_000 + "\n")
    assert read(path) == ([(2, {"a": "x" * 200_000})], [])


ROWS = [
    {"prompt": [{"role": "user", "content": "a"}], "chosen": "b", "n": 1},
    {"prompt": [{"role": "user", "content": "é"}], "chosen": None, "n": None},
]


def test_parquet_and_arrow_give_rows_by_number(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, tmp_path / "x.parquet")
    with pa.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(tmp_path / "file.arrow", table.schema) as writer:
        writer.write_table(table)
    for name in ("x.parquet", "stream.arrow", "file.arrow"):
        assert read(tmp_path / name) == ([*enumerate(ROWS, start=1)], [])


@pytest.mark.parametrize(("name", "kind"), [("x.parquet", "a parquet"), ("x.arrow", "an arrow")])
def test_broken_tables(tmp_path, name, kind):
    path = tmp_path / name
    path.write_bytes(b"not one")
    rows, faults = read(path)
    assert rows == []
    assert len(faults) == 1 and faults[0].startswith(f"{path}: not {kind} file that can be read (")


def test_a_spreadsheet_is_no_file_of_rows(tmp_path):
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK\x03\x04...")
    reason = "a zip archive (or a spreadsheet), no rows; unpack it, or save it as CSV"
    assert read(path) == ([], [f"{path}: {reason}"])


def test_bad_rows_and_broken_files_are_told_apart(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('[1,\n{"a": 1},\n{"a" 2}]')
    faults, bad_rows = [], []
    assert list(read_objects(path, faults, bad_rows)) == [(2, {"a": 1})]
    assert bad_rows == [f"{path}:1: a number, not an object"]
    assert faults == [f"{path}:3: not JSON at column 6: Expecting ':' delimiter"]
