"""The scripts in the shells themselves: what stands in the line after TAB."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf.commands.setup.completion import SCRIPTS, SHELLS

ROOT = Path(__file__).parents[4]
START = {
    "bash": (["bash", "--noprofile", "--norc", "-i"], "source {script}\n"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit; compinit -u -D; setopt interactivecomments; source {script}\n",
    ),
}
# what is typed before TAB -> what the line then holds; where several fit, what they share
LINES = {
    "rlhf kl/contr": "rlhf kl/controller=",
    "rlhf kl/controller=pi": "rlhf kl/controller=pid ",
    "rlhf -m kl/controller=fixed,du": "rlhf -m kl/controller=fixed,dual ",
    "rlhf ppo.iter": "rlhf ppo.iterations=",
    "rlhf optimizer@ppo.optimizer=sg": "rlhf optimizer@ppo.optimizer=sgd ",
    "rlhf reprod": "rlhf reproduce ",
    "rlhf export sweeps/qui": "rlhf export sweeps/quickstart/",
    "rlhf sample kl0.0": "rlhf sample kl0.05-fixed-seed0-fb218b92 ",
    "rlhf compare qui": "rlhf compare quickstart ",
    "rlhf export --wh": "rlhf export --what ",
}

QUOTED = {  # bash closes a quote itself
    'rlhf "kl/controller=pi': 'rlhf "kl/controller=pid" ',
    "rlhf kl/controller='pi": "rlhf kl/controller='pid' ",
    "rlhf --config-dir my\\ gr": "rlhf --config-dir my\\ groups/",
    "rlhf --config-dir my": "rlhf --config-dir my\\ groups/",
    "rlhf --config-dir 'my gr": "rlhf --config-dir 'my groups/'",
}


def needs(shell):
    missing = shutil.which(shell) is None
    return pytest.param(shell, marks=pytest.mark.skipif(missing, reason=f"{shell} is not there"))


@pytest.fixture
def home(tmp_path):
    """A folder with a sweep of one run, and a command `rlhf`."""
    run = tmp_path / "sweeps" / "quickstart" / "kl0.05-fixed-seed0-fb218b92"
    run.mkdir(parents=True)
    (run / "manifest.json").touch()
    (run.parent / "sweep.json").touch()
    own = tmp_path / "my groups" / "kl" / "controller"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# Mine\nspeed: 1\n")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "rlhf"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m rlhf "$@"\n')
    command.chmod(0o755)
    return tmp_path


def environment(home):
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(home), "TERM": "dumb", "PS1": "> "}
    return {**os.environ, **own, "PROMPT": "> ", "INPUTRC": "/dev/null"}


class Terminal:
    """A shell that is typed to."""

    def __init__(self, command, home):
        self.master, slave = pty.openpty()
        streams = {"stdin": slave, "stdout": slave, "stderr": slave}
        self.process = subprocess.Popen(
            command, cwd=home, env=environment(home), start_new_session=True, **streams
        )
        os.close(slave)
        self.rest = ""  # what was written and not looked at

    def type(self, keys):
        os.write(self.master, keys.encode())

    def shown(self, expected, seconds=30):
        """All that was written until `expected` was there, which is its end."""
        text, until = self.rest, time.monotonic() + seconds
        while expected not in text and time.monotonic() < until:
            if select.select([self.master], [], [], 0.2)[0]:
                text += os.read(self.master, 65536).decode(errors="replace")
        before, found, self.rest = text.partition(expected)
        return before + found

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.mark.slow
@pytest.mark.parametrize("shell", [needs(shell) for shell in START])
def test_tab_in_a_terminal(shell, home):
    command, start = START[shell]
    terminal = Terminal(command, home)
    try:
        terminal.type(start.format(script=SCRIPTS / f"rlhf.{shell}") + "echo be''gun\n")
        assert "begun\r\n" in terminal.shown("begun\r\n")
        for typed, expected in {**LINES, **(QUOTED if shell == "bash" else {})}.items():
            # zsh takes the space away where a mark follows
            line = f"{expected.rstrip() if shell == 'zsh' else expected}|"
            terminal.type(f"{typed}\t|\x01# \x05\necho over\n")  # the line as a comment, run
            assert line in terminal.shown(line)
            terminal.shown("over\r\n")
    finally:
        terminal.end()


@pytest.mark.slow
@pytest.mark.parametrize("shell", [needs("fish")])
def test_fish(shell, home):
    script = SCRIPTS / "rlhf.fish"
    asked = "; ".join(f'echo "$(complete -C "{line}")"; echo ---' for line in LINES)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}; {asked}"],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
    )
    offered = [part.strip().split("\t")[0] for part in done.stdout.split("---\n")]
    assert offered[:-1] == [expected.split()[-1] for expected in LINES.values()], done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell):
    assert f"completion {shell} --line" in (SCRIPTS / f"rlhf.{shell}").read_text()
