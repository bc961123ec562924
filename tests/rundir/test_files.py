import json
import math

from rlhf.rundir.files import (
    append_jsonl,
    flatten,
    plain_number,
    read_jsonl,
    write_bytes,
    write_json,
)
from rlhf.rundir.read import read_json


def test_a_write_replaces_the_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "sub" / "x.bin"
    write_bytes(path, b"old" * 1000)
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new" and [p.name for p in path.parent.iterdir()] == ["x.bin"]


def test_numbers_json_does_not_know(tmp_path):
    assert plain_number({"a": math.nan, "b": [math.inf, -math.inf, 1.5]}) == {
        "a": "nan",
        "b": ["inf", "-inf", 1.5],
    }
    write_json(tmp_path / "x.json", {"a": math.nan})
    assert json.loads((tmp_path / "x.json").read_text(), parse_constant=lambda c: 1 / 0) == {
        "a": "nan"
    }
    assert read_json(tmp_path / "x.json") == {"a": "nan"}


def test_a_line_cut_by_a_kill_is_not_read(tmp_path):
    path = tmp_path / "m.jsonl"
    append_jsonl(path, [{"iteration": i, "x": i / 3} for i in range(4)])
    with path.open("a") as file:
        file.write('{"iteration": 4, "x"')
    assert [row["iteration"] for row in read_jsonl(path)] == [0, 1, 2, 3]


def test_line_separators_of_unicode_end_no_line(tmp_path):
    path = tmp_path / "s.jsonl"
    rows = [{"iteration": 1, "response": "a\u2028b\x85c"}, {"iteration": 2, "response": "d"}]
    append_jsonl(path, rows)
    assert read_jsonl(path) == rows


def test_flatten():
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}
