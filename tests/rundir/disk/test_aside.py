import os
import subprocess
import sys
from threading import Barrier, Thread

import pytest

from rlhf.rundir.disk.aside import aside_of, clear_strays, set_aside, whole
from rlhf.rundir.files import write_text
from rlhf.rundir.lock import owned

DEAD = 2**22 + 1  # above Linux's highest process number


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "status.json"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), whole(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_what_a_killed_writer_left_is_cleared_at_the_next_start(tmp_path):
    code = (
        "import os, sys, pathlib; from rlhf.rundir.disk.aside import whole\n"
        "with whole(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    for name in (
        "status.json",
        "metrics.jsonl",
        "manifest.json",
        "config.yaml",
        "checkpoints/a.ckpt",
    ):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=False)
    assert len([*tmp_path.rglob(".*.tmp")]) == 5
    with owned(tmp_path):
        assert not [*tmp_path.rglob(".*.tmp")]


def test_two_threads_may_write_one_file_at_a_time(tmp_path):
    path, both = tmp_path / "tracking.json", Barrier(2)

    def write(content: bytes) -> None:
        with whole(path) as file:
            file.write(content)
            both.wait(30)
        ended.append(content)

    ended: list[bytes] = []
    threads = [Thread(target=write, args=(content,)) for content in (b"one", b"other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [b"one", b"other"] and path.read_bytes() in ended
    assert [p.name for p in tmp_path.iterdir()] == ["tracking.json"]


def test_half_written_files_of_the_living_and_of_other_machines_stay(tmp_path):
    mine = aside_of(tmp_path / "a.json")
    host = mine.name.partition("@")[2]
    thread = f".a.json.{os.getpid()}-{DEAD}@{host}"
    names = {
        mine.name: True,
        thread: True,  # another thread's of this process
        f".a.json.{DEAD}-{DEAD}@{host}": False,
        f".a.json.{DEAD}@{host}": False,  # of one that wrote no thread
        f".a.json.{DEAD}.tmp": False,  # of a version that wrote no host
        f".a.json.{DEAD}@elsewhere.tmp": True,
        f".a.json.{os.getpid()}@elsewhere.tmp": True,  # a container's number, and ours
        f".a.json.{os.getppid()}.tmp": True,
        ".lock": True,
        ".notes.tmp": True,
    }
    for name in names:
        (tmp_path / name).write_text("half")
    clear_strays(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {name for name, kept in names.items() if kept}
    clear_strays(tmp_path, alone=True)
    assert {p.name for p in tmp_path.iterdir()} == {mine.name, thread, ".lock", ".notes.tmp"}


def test_what_is_set_aside_is_never_written_over(tmp_path):
    for content in ("first", "second"):
        (tmp_path / "a").write_text(content)
        set_aside(tmp_path / "a")
    assert (tmp_path / "a.damaged").read_text() == "first"
    assert (tmp_path / "a.damaged1").read_text() == "second"
