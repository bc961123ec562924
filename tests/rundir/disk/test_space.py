import errno
import os

import pytest

from rlhf.rundir.disk.space import DiskError, amount, refused, sentence, writing
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import append_jsonl, read_jsonl, write_bytes


def test_a_full_disk_names_the_file_the_bytes_and_leaves_nothing(small_disk):
    disk = small_disk("64k")
    path = disk / "run" / "model.bin"
    with pytest.raises(DiskError) as error:
        write_bytes(path, b"x" * 100_000)
    assert str(error.value) == (
        f"{path} could not be written: no space is left on its disk (needed 100.0 kB, free"
        " 65.5 kB of 65.5 kB). Nothing half-written is left; make room, and the same command goes"
        " on from what was saved"
    )
    assert isinstance(error.value, RunFailed) and isinstance(error.value, OSError)
    assert [*path.parent.iterdir()] == []


def test_a_row_that_has_no_room_is_taken_back(small_disk):
    path = small_disk("8k") / "metrics.jsonl"
    append_jsonl(path, [{"iteration": 0}])
    with pytest.raises(DiskError, match="needed 20.0 kB"):
        append_jsonl(path, [{"iteration": 1, "text": "x" * 19_967}])
    assert path.read_text() == '{"iteration": 0}\n'
    append_jsonl(path, [{"iteration": 1}])
    assert [row["iteration"] for row in read_jsonl(path)] == [0, 1]


def test_refusals_of_every_kind_have_a_cause(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, cause in (
        (tmp_path / "file" / "a", "a file stands where its directory should be"),
        (tmp_path / "folder", "a directory stands in its place"),
        (tmp_path / ("x" * 300), "its name is longer than file names may be"),
    ):
        with pytest.raises(DiskError, match=cause):
            write_bytes(path, b"1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_other_libraries_refusals_are_read_and_other_errors_are_left_alone(tmp_path):
    foreign = Exception("Error while serializing: I/O error: No space left on device (os error 28)")
    assert "no space is left" in sentence(foreign, tmp_path / "model.safetensors")
    assert sentence(ValueError("no")) is None
    assert sentence(OSError(errno.ECONNREFUSED, "refused")) is None
    with pytest.raises(ValueError, match="^no$"), writing(tmp_path / "a"):
        raise ValueError("no")


def test_amounts():
    assert [amount(n) for n in (0, 999, 12_345, 4e9, 2e12)] == [
        *("0 bytes", "999 bytes", "12.3 kB", "4.0 GB", "2.0 TB")
    ]


def test_folders_that_cannot_be_written(tmp_path, small_disk):
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "not" / "there" / "yet") is None
    assert refused(tmp_path / "file" / "a") == f"{tmp_path / 'file'} is not a folder"
    disk = small_disk("64k", "ro")
    assert refused(disk / "a") == f"{disk} is on a file system that is read-only"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_of_another_user(tmp_path):
    os.seteuid(65534)
    try:
        assert str(refused(tmp_path / "a")).startswith("this user may not write in /")
    finally:
        os.seteuid(0)
