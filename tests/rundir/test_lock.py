import multiprocessing
import socket

import pytest

from rlhf.rundir.errors import RunFailed
from rlhf.rundir.lock import owned


def hold(directory, held, leave):
    with owned(directory):
        held.set()
        leave.wait(30)


def test_one_process_a_directory(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, leave = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", held, leave))
    process.start()
    assert held.wait(30)
    with pytest.raises(RunFailed, match="another rlhf is at work"), owned(tmp_path / "run"):
        pass
    process.kill()  # a dead owner's lock falls free
    process.join(30)
    with owned(tmp_path / "run"):
        pass


def test_what_a_dead_owner_left_half_written_goes(tmp_path):
    """In the run's folder, and in a point of a path: a kill may come while that is delivered."""
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join(30)
    left = f"..tracking.json.{process.pid}@{socket.gethostname()}.tmp"
    point = tmp_path / "run" / "points" / "kl0.1"
    point.mkdir(parents=True)
    for folder in (tmp_path / "run", point):
        (folder / left).touch()
        (folder / "tracking.json").touch()
    with owned(tmp_path / "run"):
        assert [path.name for path in point.iterdir()] == ["tracking.json"]
        assert not (tmp_path / "run" / left).exists()
