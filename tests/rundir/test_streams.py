import io
import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from rlhf.rundir import streams
from rlhf.rundir.streams import Outlet, on_screen

ROOT = Path(__file__).parents[2]


@pytest.fixture
def unread():
    """A text stream into a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        yield stream


def test_what_nobody_reads_goes_into_the_log(unread, tmp_path):
    outlet = Outlet(unread)
    outlet.spare = tmp_path / "run" / "log.txt"
    assert outlet.write("first\n") == 6
    print("second", file=outlet)
    outlet.flush()
    assert (tmp_path / "run" / "log.txt").read_text().splitlines()[-1] == "second"
    assert outlet.error is None
    assert outlet.fileno() == unread.fileno() and not outlet.isatty()


def test_without_a_log_it_goes_nowhere(unread):
    outlet = Outlet(unread)
    for _ in range(3):
        print("a line", file=outlet, flush=True)
    assert outlet.error is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_remembered(monkeypatch):
    with open("/dev/full", "w", buffering=1) as full:
        outlet = Outlet(full)
        monkeypatch.setattr(sys, "stdout", outlet)
        print("a line")
        assert streams.lost() == ("stdout could not be written: [Errno 28] No space left on device")


CLOSED = """
import os, sys
from rlhf.rundir.streams import secure
secure()
file = open("data", "w")
print("a line"); print("a line", file=sys.stderr); os.write(1, b"a library's line")
sys.stdout.reconfigure(line_buffering=True)
file.write("data"); file.close()
sys.exit(sys.stdout.fileno() * 10 + sys.stderr.fileno())
"""


def test_a_closed_stdout_does_not_give_its_number_to_a_file(tmp_path):
    (tmp_path / "script.py").write_text(CLOSED)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = f"exec {sys.executable} script.py <&- >&- 2>&-"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=env, check=False, timeout=60)
    assert done.returncode == 12
    assert (tmp_path / "data").read_text() == "data"


def test_a_terminal_gets_lines_of_its_width():
    """A file gets them whole."""
    long = "one thing is wrong: " + "word " * 10 + "end"
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 40))
    with os.fdopen(ours), os.fdopen(theirs, "w") as terminal:
        lines = on_screen(long, terminal).splitlines()
        assert len(lines) == 2 and max(map(len, lines)) <= 40
    assert on_screen(long, io.StringIO()) == long
