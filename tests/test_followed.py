"""README.md, the tutorials and the how-to pages, followed from top to bottom at sizes of seconds:
files are written, commands given, code is run. docs/records/followed.md says what was found.

tests/test_documented.py composes and parses the commands of all pages, those that are left out
here too."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from functools import cache

import pytest

from tests import documented, following, reader
from tests.annotators.chat_server import serving

pytestmark = pytest.mark.slow

FIRST = "tutorial/first_sweep.md"
HOW_TO = sorted(f"how-to/{path.name}" for path in (documented.ROOT / "docs/how-to").glob("*.md"))
PAGES = [
    FIRST,
    "tutorial/your_model.md",
    *(page for page in HOW_TO if following.steps(page)),
    "README.md",
]

# Commands that are not given, by their beginning, and what they need
LEFT_OUT = {
    "make install": "an index of packages, which the tests do not ask",
    "make smollm2": "the same, and 540 MB",
    "make test": "the tests",
    "pip install": "an index of packages",
    "source .venv/bin/activate": "a shell that goes on; the tests are in theirs",
    "vllm": "vLLM",
    "curl": "the server that vLLM starts",
    "python llama.cpp": "llama.cpp",
    "llama-cli": "llama.cpp",
    "torchrun": "as many processes as it starts, and GPUs: tests/stages/ranks/test_outside.py",
    "srun": "Slurm",
    "rlhf export sweeps/quickstart/kl0.05-... --push": "the Hugging Face hub",
    "rlhf trainer=ddp trainer.devices=4": "four GPUs",
    "rlhf trainer=fsdp trainer.devices=8": "eight GPUs",
    "rlhf data=gsm8k": "a data set that is not in the repository",
    "OPENAI_API_KEY=": "somebody's endpoint",
    "PASSWORD=": "a tracking server",
    **{
        f"rlhf -m kl.coef=0,0.02,0.05 seed=0,1 hydra/launcher={name}": "an extra that the tests do"
        " without; tests/sweeps/test_multirun.py goes through those that are installed"
        for name in ("joblib", "submitit_local", "submitit_slurm", "ray")
    },
    "rlhf -m ... hydra/launcher=ray": "a Ray cluster",
    "rlhf experiment=find_coef_for_kl hydra.sweeper.target=8": "a KL that runs of seconds do not"
    " have, as the search before it",
    "rlhf -m hydra/sweeper=optuna": "Optuna, without which the tests do; tests/sweeps/searches",
}
# What may come of runs that learned nothing: the exit code is not 0, and this is said
NO_GAIN = "no policy has more gold reward than SFT"
EXPECTED = {
    "rlhf select sweeps/quickstart --knee": NO_GAIN,
    "rlhf experiment=find_coef_for_kl": "No kl.coef was found",
}
# What is shown for its refusal
REFUSED = {
    "rlhf kl.coef=abc ppo.iteratons=5 kl/controller=adaptve": "did you mean ppo.iterations?",
}


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    return reader.Reader(tmp_path_factory.mktemp("newcomer") / "home")


@pytest.fixture(scope="module")
def acquainted(newcomer):
    """Who has the first sweep, which most pages go on from, by the command of the first page."""
    code, said = newcomer.rlhf(newcomer.real(recipe("quickstart")))
    assert code == 0, said[-3000:]
    return newcomer


def recipe(target):
    """The words after `rlhf` that `make target` runs once the environment is there."""
    # A make within `make test-slow` would say which folder it enters
    made = ["make", "--no-print-directory", "-n", "-o", "python/.ready", "VENV=python", target]
    said = subprocess.run(made, cwd=documented.ROOT, capture_output=True, text=True, check=True)
    (line,) = said.stdout.splitlines()
    name, *words = line.split()
    assert name == "python/bin/rlhf"
    return words


@cache
def served(home, *words):
    """Exit code and output of `rlhf ui`, which is stopped by Ctrl-C when its pages answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "rlhf", *words, "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(documented.ROOT), "BROWSER": "true"}
    pages = subprocess.Popen(
        command,
        cwd=home,
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


def followed(who, step):
    """Exit code and output of a step; of one that is left out 0 and nothing."""
    if step.kind == "file":
        path = who.home / step.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text)
        return who.imported(step.name) if path.suffix == ".py" else (0, "")
    if step.kind == "python":
        return who.python(step.text)
    if step.text.startswith((*LEFT_OUT,)):
        return 0, ""
    program, *words = step.words
    if program == "make":
        return who.rlhf(who.real(recipe(words[0])))
    if program == "python":
        return who.python((who.home / words[0]).read_text())
    assert program == "rlhf", step.text
    if words[:1] == ["ui"]:
        return served(who.home, *words)
    if "annotator.base_url=http://localhost:8000/v1" in words:
        with serving(lambda *_: "A") as endpoint:
            words = [word.replace("http://localhost:8000/v1", endpoint.url) for word in words]
            return who.rlhf(who.real(words), **step.variables)
    return who.rlhf(who.real(words), **step.variables)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_from_top_to_bottom(page, request):
    steps = following.steps(page)
    assert any(step.kind == "command" for step in steps)
    who = request.getfixturevalue("newcomer" if page == FIRST else "acquainted")
    who.begin(steps)
    for step in steps:
        code, said = followed(who, step)
        what = f"{step.place}: {step.text}\n{said[-3000:]}"
        if step.text in REFUSED:
            assert code == 2 and REFUSED[step.text] in said, what
        elif code:
            assert EXPECTED.get(step.text, "nothing is expected") in said, what


def test_what_is_left_out_stands_on_a_page():
    """So that a list above cannot outlive its command."""
    texts = [step.text for page in PAGES for step in following.steps(page)]
    assert {*EXPECTED, *REFUSED} <= {*texts}
    for beginning in LEFT_OUT:
        assert any(text.startswith(beginning) for text in texts), beginning
