import json
import math

import pytest

from rlhf.rundir.disk.sealed import (
    is_damaged,
    is_whole,
    own_digest,
    read_sealed,
    sealed,
    write_sealed,
)


def test_the_digest_is_of_all_else_as_it_is_read_again(tmp_path):
    value = {"b": (1, 2), "a": math.inf, "sha256": "of before"}
    whole = sealed(value)
    assert whole["sha256"] == own_digest({"a": "inf", "b": [1, 2]})
    assert is_whole(whole) and is_whole({"a": 1}) and not is_whole({**whole, "c": None})
    write_sealed(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "b": [1, 2],
        "a": "inf",
        "sha256": whole["sha256"],
    }
    assert read_sealed(tmp_path / "x.json") == {"b": [1, 2], "a": "inf"}


@pytest.mark.parametrize("change", [("1", "2"), ('"run"', '"ruo"'), ("}", "")])
def test_another_object_counts_as_missing_and_is_named(tmp_path, caplog, change):
    path = tmp_path / "x.json"
    write_sealed(path, {"run": 1})
    path.write_text(path.read_text().replace(*change, 1))
    assert is_damaged(path) and read_sealed(path) == {}
    assert [m.startswith(f"{path}: it is n") for m in caplog.messages] == [True]


def test_one_without_a_digest_is_taken(tmp_path):
    (tmp_path / "x.json").write_text('{"run": 1}')
    assert not is_damaged(tmp_path / "x.json") and read_sealed(tmp_path / "x.json") == {"run": 1}
    assert not is_damaged(tmp_path / "none.json") and read_sealed(tmp_path / "none.json") == {}
