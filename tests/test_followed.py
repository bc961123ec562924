"""The tutorials, and how-to pages that go on from them, followed from top to bottom in one folder
at sizes of seconds: files are written, commands given, code is run.

tests/test_documented.py composes and parses the commands of all pages."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests import documented, following

pytestmark = pytest.mark.slow

PAGES = [
    "tutorial/first_sweep.md",
    "tutorial/your_model.md",
    "how-to/read_report.md",
    "how-to/realign.md",
]

# Commands that are not given, by their beginning, and what they need
LEFT_OUT = {
    "make install": "an index of packages, which the tests do not ask",
    "make smollm2": "the same, and 540 MB",
    "source .venv/bin/activate": "a shell that goes on; the tests are in theirs",
}
# What comes of runs that learned nothing: the exit code is not 0, and this is said
EXPECTED = {
    "rlhf select sweeps/quickstart --knee": "no policy has more gold reward than SFT",
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return following.Reader(tmp_path_factory.mktemp("reader") / "home")


def recipe(target):
    """What `make target` runs once the environment is there."""
    # A make within `make test-slow` would say which folder it enters
    made = ["make", "--no-print-directory", "-n", "-o", "python/.ready", "VENV=python", target]
    said = subprocess.run(made, cwd=documented.ROOT, capture_output=True, text=True, check=True)
    return said.stdout.splitlines()


def served(reader, words):
    """Exit code and output of `rlhf ui`, which is stopped by Ctrl-C when its pages answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "rlhf", *words, "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(documented.ROOT), "BROWSER": "true"}
    pages = subprocess.Popen(
        command,
        cwd=reader.home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status == 200
                break
            assert pages.poll() is None, pages.stdout.read()
            time.sleep(0.5)
        pages.send_signal(signal.SIGINT)
        said, _ = pages.communicate(timeout=60)
    finally:
        pages.kill()
    return pages.returncode, said


def followed(reader, step):
    """Exit code and output of a step; of one that is left out 0 and nothing."""
    if step.kind == "file":
        path = reader.home / step.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text)
        return 0, ""
    if step.kind == "python":
        return reader.python(step.text)
    text = step.text.removeprefix("$ ")
    if text.startswith((*LEFT_OUT,)):
        return 0, ""
    if step.words[0] == "make":
        (line,) = recipe(step.words[1])
        name, *words = line.split()
        assert name == "python/bin/rlhf"
        return reader.rlhf(reader.real(words))
    if step.words[0] == "python":
        return reader.python((reader.home / step.words[1]).read_text())
    assert step.words[0] == "rlhf", text
    if step.words[1:2] == ["ui"]:
        return served(reader, step.words[1:])
    return reader.rlhf(reader.real(step.words[1:]))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_from_top_to_bottom(page, reader):
    steps = following.steps(page)
    shutil.rmtree(reader.home / "outputs/exported", ignore_errors=True)  # each page begins anew
    assert [step for step in steps if step.text.startswith(("rlhf", "make quickstart"))]
    for step in steps:
        code, said = followed(reader, step)
        text = step.text.partition("  #")[0].strip()
        if code:
            expected = EXPECTED.get(text)
            assert expected and expected in said, f"{step.place}: {text}\n{said[-3000:]}"


def test_what_is_left_out_stands_on_a_page():
    """So that a list above cannot outlive its command."""
    texts = [
        step.text.removeprefix("$ ").partition("  #")[0].strip()
        for page in PAGES
        for step in following.steps(page)
    ]
    assert {*EXPECTED} <= {*texts}
    for beginning in LEFT_OUT:
        assert any(text.startswith(beginning) for text in texts), beginning
