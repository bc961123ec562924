import os
import signal

import pytest

from rlhf.sweeps.launchers.served import Aside, answer, serve, start_method

pytestmark = pytest.mark.skipif(start_method() != "forkserver", reason="no server here")


def square(number):
    return number**2, os.getpid()


def write(path, text):
    path.write_text(f"{text} by {os.getppid()}")


def killed_beside(parent):
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return "here"


@pytest.fixture
def made(monkeypatch, tmp_path):
    """The file that a process of the server has written."""
    monkeypatch.setattr(Aside, "made", False)
    assert serve([])
    aside = Aside(target=write, args=(tmp_path / "file", "written"))
    aside.start()
    aside.join(60)
    assert not aside.is_alive()
    return tmp_path / "file"


def test_work_is_done_by_a_process_of_the_server(made):
    words = made.read_text().split(" by ")
    assert words[0] == "written" and int(words[1]) != os.getpid()


def test_an_answer_comes_from_the_server_once_it_is_there(monkeypatch, made):
    number, process = answer(square, 3)
    assert number == 9 and process != os.getpid()
    monkeypatch.setattr(Aside, "made", False)
    assert answer(square, 3) == (9, os.getpid())


def test_without_an_answer_it_is_made_here(made):
    assert answer(killed_beside, os.getpid()) == "here"
