"""A whole folder, cleaned while a run is at work in it, and walked through afterwards."""

import pytest

from benchmarks import cleaning


@pytest.mark.slow
def test_all_that_stays_still_works(tmp_path, commands):
    """Eight finished runs, one at work, one stopped, one that failed; two artifacts whose run was
    removed, and a stage that was killed."""
    found = cleaning.main(tmp_path / "scene", seeds=2, iterations=90, server=commands)
    assert {name for name, is_so in found["works"].items() if not is_so} == set()
    counts = {
        part: sorted(thing["kind"] for thing in found["planned"][part])
        for part in ("goes", "stays")
    }
    assert counts["goes"] == ["artifacts"] * 2 + ["checkpoints"] * 8 + ["work"]
    # two stages and the eight policies; of those at work, stopped and failed the checkpoints
    assert counts["stays"] == ["artifacts"] * 10 + ["checkpoints"] * 3
    assert len(found["removed"]["removed"]) == 11 and found["removed"]["left"] == {}
    assert found["again"]["goes"] == []
    freed = found["planned"]["bytes"]["freed"]
    after = found["again"]["bytes"]["before"]
    # the run at work writes meanwhile
    assert after <= found["planned"]["bytes"]["before"] - freed + 3_000_000
