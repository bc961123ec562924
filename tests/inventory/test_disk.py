"""Bytes on disk, a file with several names counted once."""

import os
import subprocess

from rlhf.inventory.disk import Disk, Linked, disk_of, freed, newest, scan, total, under


def file(inode, size, *, names=1, links=2):
    return Linked(inode=(1, inode), bytes=size, names=names, links=links)


def test_a_total_has_each_file_once():
    run, artifact = Disk(own=10, linked=(file(7, 500),)), Disk(own=4, linked=(file(7, 500),))
    assert (run.bytes, artifact.bytes) == (510, 504)
    assert total([run, artifact]) == 514


def test_what_is_freed_keeps_no_name_elsewhere():
    """The weights (500) have two names: one in the run, one in its artifact."""
    run, artifact = Disk(own=10, linked=(file(7, 500),)), Disk(own=4, linked=(file(7, 500),))
    assert freed([run]) == 10
    assert freed([run, artifact]) == 514
    both_here = Disk(own=1, linked=(file(7, 500, names=2),))
    assert freed([both_here]) == 501


def test_a_folder_takes_what_du_says(tmp_path):
    folder = tmp_path / "a"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "one.ckpt").write_bytes(b"x" * 10_000)
    (folder / "model").write_bytes(b"x" * 20_000)
    os.link(folder / "model", folder / "again")
    os.link(folder / "model", tmp_path / "outside")
    files = scan(folder)
    said = int(subprocess.check_output(["du", "-s", "-B1", str(folder)]).split()[0])
    assert disk_of(files).bytes == said
    (linked,) = disk_of(files).linked
    assert (linked.names, linked.links) == (2, 3)
    part = disk_of(files, under("checkpoints"))
    assert part.linked == () and 10_000 <= part.bytes < disk_of(files).bytes


def test_the_newest_file_tells_the_time(tmp_path):
    (tmp_path / "old").touch()
    os.utime(tmp_path / "old", (5.0, 5.0))
    (tmp_path / "new").touch()
    os.utime(tmp_path / "new", (9.0, 9.0))
    assert newest(scan(tmp_path)) == 9.0
    (tmp_path / "empty").mkdir()
    assert newest(scan(tmp_path / "empty")) is None
    assert scan(tmp_path / "gone") == {} and disk_of({}).bytes == 0
