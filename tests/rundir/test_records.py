import json
import zlib

import pytest

from rlhf.rundir import records
from rlhf.rundir.files import append_jsonl, read_jsonl


def iterations(path):
    return [row["iteration"] for row in read_jsonl(path)]


def content(directory):
    return {name: (directory / name).read_bytes() for name in records.FILES}


def test_rows_after_the_copy_are_dropped_and_no_loss(run):
    kept, before = records.unpacked(records.packed(records.contents(run))), content(run)
    for name in records.FILES:
        append_jsonl(run / name, [{"iteration": 5}])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 6, "lo')
    assert records.put_back(run, kept) == []
    assert content(run) == before


@pytest.mark.parametrize("name", records.FILES)
@pytest.mark.parametrize("damage", ["empty", "gone", "row", "changed", "garbage"])
def test_whatever_a_file_lost_is_put_back_and_said(run, name, damage):
    kept, before, path = (
        records.unpacked(records.packed(records.contents(run))),
        content(run),
        run / name,
    )
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {
                "empty": b"",
                "row": b"".join(lines[:1] + lines[2:]),
                "changed": path.read_bytes().replace(b": 2", b": 7"),
                "garbage": b"".join([*lines[:1], b"\xff\x00\n", *lines[1:]]),
            }[damage]
        )
    assert records.put_back(run, kept) == [name]
    assert content(run) == before


def test_a_copy_names_no_other_file():
    assert records.unpacked({"../x": zlib.compress(b"x"), "config.yaml": b""}) == {}


def test_rows_are_cut_back_where_there_is_no_copy(run):
    """A line that a kill has cut, or that is none, goes too; a file that is not there stays so."""
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'\xff\n{"iteration": 4, "x"')
    (run / "by_prompt.jsonl").unlink()
    records.cut_back(run, 2)
    assert iterations(run / "metrics.jsonl") == [0, 1, 2]
    assert iterations(run / "samples.jsonl") == [0, 0, 2, 2]
    assert not (run / "by_prompt.jsonl").exists()
    text = (run / "metrics.jsonl").read_text()
    assert text.splitlines()[1] == json.dumps({"iteration": 1, "loss": 0.5})
    records.cut_back(run, -1)
    assert (run / "metrics.jsonl").read_bytes() == b""


def test_missing_rows(run):
    assert records.missing_rows(records.contents(run), 4) == ""
    (run / "metrics.jsonl").unlink()
    append_jsonl(run / "metrics.jsonl", [{"iteration": i} for i in (0, 2, 2, 4)])
    files = records.contents(run)
    assert records.missing_rows(files, 4) == (
        "metrics.jsonl lacks iteration 1, 3; metrics.jsonl repeats iteration 2"
    )
    assert records.missing_rows(files, 5) == (
        "metrics.jsonl lacks iteration 1, 3, 5; metrics.jsonl repeats iteration 2;"
        " timings.jsonl lacks iteration 5"
    )
    assert records.last_recorded(run) == 4 and records.last_recorded(run / "none") == -1


def test_an_evaluation_that_a_longer_run_would_not_have_is_dropped(run):
    kept = content(run)
    assert records.without_evaluation(kept, 3) == kept
    records.cut_back(run, 4, evaluated=False)
    assert read_jsonl(run / "metrics.jsonl")[-1] == {"iteration": 4, "loss": 0.2}
    assert iterations(run / "samples.jsonl") == [0, 0, 2, 2]
    assert iterations(run / "by_prompt.jsonl") == [0, 2]
    assert iterations(run / "timings.jsonl") == [0, 1, 2, 3, 4]
    once = content(run)
    assert records.without_evaluation(kept, 4) == once == records.without_evaluation(once, 4)


def test_lines_that_are_no_rows_are_named_where_they_are_dropped(run, caplog):
    path = run / "samples.jsonl"
    with path.open("ab") as file:
        file.write(b'\xff\n{"response": "x"}\n' + b"[" * 20000 + b'\n{"iteration": 4, "resp')
    records.cut_back(run, 4)
    (message,) = caplog.messages
    assert message == f"{path}: lines 7, 8, 9: no row of an iteration; left out"
    assert iterations(path) == [0, 0, 2, 2, 4, 4]


def test_of_many_missing_rows_the_first_are_named(run):
    files = {"metrics.jsonl": b"", "timings.jsonl": b'{"iteration": 0}\n' * 2}
    assert records.missing_rows(files, 7) == (
        "metrics.jsonl lacks iteration 0, 1, 2, 3, 4, 5 and 2 more;"
        " timings.jsonl lacks iteration 1, 2, 3, 4, 5, 6 and 1 more;"
        " timings.jsonl repeats iteration 0"
    )
