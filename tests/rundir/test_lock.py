import multiprocessing

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
