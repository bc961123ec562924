"""A run, a sweep and a comparison on a disk that fills up, or is read-only."""

import pytest

from rlhf.__main__ import main
from tests.conftest import SMALL


def given(capfd, *words):
    capfd.readouterr()
    code = main([str(word) for word in words])
    return code, capfd.readouterr().err


@pytest.mark.slow
def test_a_run_says_which_file_had_no_room_and_goes_on_when_there_is(
    small_disk, monkeypatch, capfd
):
    disk = small_disk("300k")
    monkeypatch.chdir(disk)
    words = [*SMALL, "model.hidden_size=24"]
    code, said = given(capfd, *words)
    assert code == 1 and "Traceback" not in said
    assert "could not be written: no space is left on its disk (needed " in said
    assert "of 307.2 kB). Nothing half-written is left; make room, and the same command" in said
    assert not [*disk.rglob(".*.tmp")]
    remount(disk, "8m")
    code, said = given(capfd, *words)
    assert code == 0, said


def remount(disk, size):
    import subprocess

    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def test_the_end_is_told_where_not_even_the_status_has_room(small_disk, monkeypatch, capfd):
    """What ended the run is said, not what befell the one who wanted to note it."""
    disk = small_disk("100k")
    monkeypatch.chdir(disk)
    (disk / "filler").write_bytes(b"x" * 98_000)
    code, said = given(capfd, *SMALL)
    assert code == 1 and "Traceback" not in said
    assert "could not be written: no space is left on its disk (needed " in said
    assert not [*disk.rglob("status.json")] and not [*disk.rglob(".*.tmp")]


def test_a_read_only_folder_is_refused_before_anything_is_made(small_disk, monkeypatch, capfd):
    disk = small_disk("1m", "ro")
    monkeypatch.chdir(disk)
    for words in (SMALL, ["-m", *SMALL, "seed=0,1"]):
        code, said = given(capfd, *words)
        assert code == 2 and f"{disk} is on a file system that is read-only" in said


def test_a_comparison_that_cannot_be_written(small_disk, rundirs, capfd):
    disk = small_disk("1m")
    for i in range(2):
        rundirs.make_run(disk / "s" / f"run{i}", seed=i)
    remount(disk, "1m,ro")
    code, said = given(capfd, "compare", disk / "s", "--no-tracking")
    assert code == 1 and said.startswith(f"rlhf: {disk / 's'}/")
    assert "could not be written: its file system is read-only" in said
