import math

from rlhf.rundir.files import append_jsonl, write_json, write_text
from rlhf.rundir.read import (
    Lines,
    collecting,
    last_lines,
    last_row,
    number,
    read_json,
    read_yaml,
)


def test_lines_waits_for_whole_lines_and_starts_again_when_cut(tmp_path):
    path = tmp_path / "m.jsonl"
    lines = Lines(path)
    assert lines.read() == []
    path.write_text('{"a": 1}\n{"a": 2')
    assert lines.read() == [{"a": 1}]
    path.write_text('{"a": 1}\n{"a": 2}\nno json\n[1]\n')
    assert lines.read() == [{"a": 2}]
    path.write_text('{"a": 1}\n')
    assert lines.read() == [{"a": 1}]


def test_lines_that_were_written_anew_are_read_from_their_start(tmp_path):
    """A resumed run cuts its records back, and is past the old position at the next look: there a
    line that has another time begins elsewhere."""
    path = tmp_path / "timings.jsonl"
    lines = Lines(path)
    write_text(path, '{"iteration": 0, "seconds": 1}\n{"iteration": 1, "seconds": 2}\n')
    assert [row["seconds"] for row in lines.read()] == [1, 2]
    write_text(path, '{"iteration": 0, "seconds": 1}\n')
    append_jsonl(path, [{"iteration": 1, "seconds": 2.25}, {"iteration": 2, "seconds": 3.5}])
    with collecting() as odd:
        assert [row["seconds"] for row in lines.read()] == [1, 2.25, 3.5]
    assert not odd


def test_number():
    assert [number(x) for x in (1, 0.5, True, "inf", "-inf", "x", None, [1])] == [
        1.0,
        0.5,
        1.0,
        math.inf,
        -math.inf,
        None,
        None,
        None,
    ]
    assert math.isnan(number("nan"))


def test_json_files(tmp_path):
    path = tmp_path / "a.json"
    assert read_json(path) == {}
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    path.write_text("{half")
    assert read_json(path) == {}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_line_cut_by_a_kill_is_not_read(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"iteration": 1}\n{"iteration": 2}\n{"iteration": 3, "rew'
    )
    assert last_row(tmp_path / "metrics.jsonl") == {"iteration": 2}
    assert last_row(tmp_path / "nothing.jsonl") == {}


def test_last_lines_that_say_something(tmp_path):
    (tmp_path / "log.txt").write_text("one\n two\n\nthree\n\n")
    assert last_lines(tmp_path / "log.txt", 2) == ["two", "three"]
    assert last_lines(tmp_path / "nothing", 2) == []


def test_a_text_of_many_levels_ends_no_process(tmp_path):
    """libyaml's reader runs out of stack where Python's raises."""
    for text in ("[" * 100_000, "- " * 100_000, "{a: " * 50_000):
        (tmp_path / "config.yaml").write_text(text)
        assert read_yaml(tmp_path / "config.yaml") == {}
    (tmp_path / "config.yaml").write_text("a: {b: [1, 2.5, yes]}\nc: " + "x" * 2000)
    assert read_yaml(tmp_path / "config.yaml") == {"a": {"b": [1, 2.5, True]}, "c": "x" * 2000}
