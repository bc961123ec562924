"""Pages of docs/ as a reader follows them: their steps from top to bottom, runs at sizes of
seconds, each command in a process that was forked from one which has imported everything."""

import contextlib
import multiprocessing
import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tests import documented

HEAVY = ["pytorch_lightning", "transformers", "mlflow", "rlhf.compare", "rlhf.runs.run"]
SIZES = [
    "data.max_response_tokens=8",
    "sft.epochs=1",
    "sft.batch_size=16",
    "reward_model.epochs=1",
    "reward_model.batch_size=16",
    "reward_model.normalize_samples=16",
    "ppo.iterations=2",
    "ppo.rollout_size=16",
    "ppo.minibatch_size=8",
    "ppo.checkpoint_every=2",
    "evaluation.prompts=8",
    "evaluation.samples=1",
    "evaluation.every=2",
    "trainer.threads=1",
    "model=tiny",
    "model.hidden_size=16",
    "model.layers=1",
    "model.heads=2",
]
PATH = ["kl.controller.points=2", "kl.controller.at_least=1", "kl.controller.window=2"]
REVIEWS = ["data.demonstrations=64", "data.pairs=48", "data.prompts=64", "best_of_n.samples=2"]
BEGINNING = re.compile(r"(?:\$ )?(rlhf|make|python|pip|source|vllm|curl|llama-cli)(?=\s)")
FENCE = re.compile(r"(?:```|~~~)(\w*)$")
ABBREVIATED = re.compile(r"(?P<folder>\S+/)(?P<name>kl[\d.]+|sft-)[\w.-]*(?:\.\.\.|-[0-9a-f]{8})")


@dataclass(frozen=True)
class Step:
    place: str
    kind: str  # command, python or file
    text: str
    name: str = ""  # of a file

    @property
    def words(self):
        return shlex.split(self.text.removeprefix("$ "), comments=True)


def steps(page):
    """The steps of docs/<page>, from top to bottom."""
    path = documented.ROOT / "docs" / page
    lines, written = path.read_text().splitlines(), documented.files(path)
    found, index, named = [], 0, ""
    while index < len(lines):
        line, number = lines[index], index + 1
        if fence := FENCE.match(line):
            end = next(i for i in range(index + 1, len(lines)) if FENCE.match(lines[i]))
            block = "\n".join(lines[index + 1 : end])
            if named:
                found.append(Step(f"{page}:{number}", "file", written[named], named))
            elif fence[1] == "python":
                found.append(Step(f"{page}:{number}", "python", block))
            elif fence[1] in ("", "sh", "bash"):
                found += _commands(page, number + 1, block.splitlines())
            index, named = end, ""
        elif line.startswith("    "):
            end = next(
                (i for i in range(index, len(lines)) if not lines[i].startswith("    ")), len(lines)
            )
            found += _commands(page, number, [each.strip() for each in lines[index:end]])
            index = end - 1
        elif line.strip():
            match = documented.NAMED.search(line.strip())
            named = match[1] if match and match[1] in written else ""
        index += 1
    return found


def _commands(page, number, lines):
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [
        Step(f"{page}:{number + at}", "command", line)
        for at, line in enumerate(joined)
        if BEGINNING.match(line)
    ]


@dataclass
class Reader:
    """Who works in `home` and gives the commands of pages there, made small."""

    home: Path

    def __post_init__(self):
        self.home.mkdir(parents=True, exist_ok=True)
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(HEAVY)

    def rlhf(self, words):
        """Exit code and output of `rlhf words`."""
        return self._forked(_rlhf, words)

    def python(self, text):
        """Exit code and output of a piece of Python."""
        return self._forked(_python, text)

    def _forked(self, target, what):
        log = self.home.parent / "log.txt"
        job = self.processes.Process(target=target, args=(what, str(self.home), str(log)))
        job.start()
        job.join(300)
        if job.exitcode is None:
            job.kill()
        return job.exitcode, log.read_text()

    def real(self, words):
        """The words with what a reader fills in, and a run's sizes."""
        words = [self._real(word) for word in words if word not in ("...", "[run]")]
        if not self.has_settings(words):
            return words
        own = "--config-dir" in words  # and so data of its own
        sizes = SIZES if own else [*SIZES, *REVIEWS]
        sizes = [*sizes, *PATH] if {"experiment=path", "kl/controller=path"} & {*words} else sizes
        asked = {word.partition("=")[0] for word in words}
        return [*words, *(size for size in sizes if size.partition("=")[0] not in asked)]

    @staticmethod
    def has_settings(words):
        if words == ["--version"]:
            return False
        return not words or "=" in words[0] or words[0][0] == "-" or words[0] in ("data", "doctor")

    def _real(self, word):
        if word == "RUN":
            word = "sweeps/quickstart/kl0.1-..."
        if word.startswith("outputs/artifacts/sft/"):
            return str(min((self.home / "outputs/artifacts/sft").glob("????????????????")))
        if match := ABBREVIATED.fullmatch(word):
            runs = sorted(self.home.glob(f"{match['folder']}{match['name'].rstrip('-')}-*"))
            assert runs, word
            return str(runs[0].relative_to(self.home))
        return word


@contextlib.contextmanager
def _said(home, log):
    """In `home`, with all that is said in the file `log` and nothing to read."""
    os.chdir(home)
    sys.path.insert(0, "")
    with open(log, "w") as file, open(os.devnull) as nothing:
        for number, stream in ((0, nothing), (1, file), (2, file)):
            os.dup2(stream.fileno(), number)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            sys.stdin = nothing
            yield


def _rlhf(words, home, log):
    with _said(home, log):
        sys.argv = ["rlhf", *words]
        from rlhf.__main__ import process

        sys.exit(process())


def _python(text, home, log):
    with _said(home, log):
        exec(compile(text, "<page>", "exec"), {"__name__": "__main__"})
