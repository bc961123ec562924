"""Who follows pages: works in a folder of its own and gives their commands there, runs at sizes of
seconds, each in a process that was forked from one which has imported everything."""

import contextlib
import gc
import json
import multiprocessing
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

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
REVIEWS = ["data.demonstrations=64", "data.pairs=48", "data.prompts=64", "best_of_n.samples=2"]
SENTENCES = ["data.prompts=32", "data.pairs=48", "data.vocabulary=300", "best_of_n.samples=2"]
PATH = ["kl.controller.at_least=1", "kl.controller.window=2"]
# What goes with words of a command: fewer runs, smaller ones
FEW = {
    "data=rt_polarity": SENTENCES,
    "experiment=path": ["seed=0", *PATH],
    "experiment=quickstart seed=0,1": ["kl.coef=0.1"],
    "kl/controller=path": PATH,
}
# Sweeps that are given as one of their runs: the other sweeps show what a sweep does
ONE = {
    "experiment=alpaca_farm_family": ["method=best_of_4"],
    "experiment=fixed_or_steered": ["kl.coef=0.3", "kl/controller=pid"],
    "experiment=kl_coef_sweep": ["kl.coef=0.1"],
    "experiment=realign": ["kl.coef=0.1"],
    "experiment=rt_polarity_kl_sweep": ["kl.coef=0.1", *SENTENCES],
}
WHOLE = {"experiment=quickstart", "hydra.launcher.jobs=2", "sweep=mine"}
# What a reader has, and the stage of the first sweep that stands in for it
HAS = {
    "/models/my-model": "sft",
    "my-model": "sft",
    "my/policy": "sft",
    "my/scores": "reward_model",
    "some/reward-model": "reward_model",
}
# Folders of other places, which begin at the root
ELSEWHERE = ("/archive/sweeps", "/data/outputs", "/data/sweeps")
LIST = re.compile(r"(?P<key>[\w./]+=)(?P<one>[\w.]+),(?P<other>[\w.]+)[\w.,]*")
QUICKSTART = "sweeps/quickstart"
JUDGES = ("some/chat-model", "some/model")
JUDGE = """
from rlhf.data.tokenizers import word_level
from rlhf.models.load import TinyModel

tokenizer = word_level(["A B", "which response is better ?"])
model = TinyModel(architecture="llama", hidden_size=16, layers=1, heads=2, seed=0)
model.causal_lm(tokenizer).save_pretrained("{0}")
tokenizer.save_pretrained("{0}")
"""


def rows():
    """(prompt, good answer, bad answer) of what a reader brings, in words of the shipped reviews"""
    for subject in ("i", "we"):
        for verb in ("felt", "found", "liked", "saw"):
            for noun in ("ending", "pacing", "humor", "story"):
                for kind in ("film", "movie", "drama"):
                    prompt = f"{subject} {verb} the {noun} of this {kind}"
                    yield prompt, " was moving and warm .", " was slow in every scene ."


@dataclass
class Reader:
    home: Path

    def __post_init__(self):
        self.home.mkdir(parents=True, exist_ok=True)
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(HEAVY)
        self.swept = {}  # what came of sweeps: no second time is needed for the same command

    def begin(self, steps):
        """Leaves results alone, brings the rows that pages ask for, and removes all else."""
        for path in self.home.iterdir():
            if path.name not in ("outputs", "sweeps"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.home / "outputs/exported", ignore_errors=True)
        asked = "\n".join(step.text for step in steps)
        for name, write in BROUGHT.items():
            if name in asked:
                write(self.home / name)
        for name in JUDGES:
            if name in asked:
                code, said = self.python(JUDGE.format(name))
                assert code == 0, said

    def rlhf(self, words, **variables):
        """Exit code and output of `rlhf words`."""
        if not any(word.startswith(("-m", "experiment=")) for word in words[:2]):
            return self._forked(_rlhf, words, variables)
        command = frozenset(words)
        if command not in self.swept:
            self.swept[command] = self._forked(_rlhf, words, variables)
        return self.swept[command]

    def python(self, text):
        """Exit code and output of a piece of Python."""
        if "models:/m-..." in text:
            model = min(self.home.glob("outputs/mlartifacts/quickstart/models/m-*"))
            text = text.replace("models:/m-...", f"models:/{model.name}")
        if composed := re.search(r"compose\(\[(.*)\]\)", text):
            words = re.findall(r'"([^"]*)"', composed[1])
            text = text.replace(composed[0], f"compose({self.real(words)!r})")
        return self._forked(_python, text, {})

    def imported(self, name):
        """The same of importing the module in the file `name`."""
        address = name.removesuffix(".py").replace("/", ".")
        return self._forked(_python, f"import {address}", {})

    def _forked(self, target, what, variables):
        log = self.home.parent / "log.txt"
        log.write_text("")
        job = self.processes.Process(target=target, args=(what, str(self.home), log, variables))
        job.start()
        job.join(600)
        if job.exitcode is None:
            job.kill()
        return job.exitcode, log.read_text()

    def real(self, words):
        """The words with what a reader fills in, and a run's sizes."""
        words = [self._real(word) for word in words if word not in ("...", "[run]")]
        if "-m" in words and not WHOLE & {*words}:
            words = [LIST.sub(r"\g<key>\g<one>", word) for word in words if word != "-m"]
        return [*words, *_sizes(words)] if has_settings(words) else words

    def _real(self, word):
        if word == "RUN":
            word = f"{QUICKSTART}/kl0.1-..."
        if word.startswith("outputs/artifacts/sft/"):
            return self._stage("sft")
        key, equals, value = word.rpartition("=")
        if value in HAS:
            return f"{key}{equals}{self._stage(HAS[value])}"
        if value in ELSEWHERE:
            (self.home / value[1:]).mkdir(parents=True, exist_ok=True)
            return f"{key}{equals}{value[1:]}"
        if key == "ppo.iterations":
            return "ppo.iterations=2"
        if LIST.fullmatch(word):  # two values of each stand for all
            return LIST.sub(r"\g<key>\g<one>,\g<other>", word)
        return self._folder(word) if "/kl" in word else word

    def _folder(self, word):
        """The first folder that is meant by one whose parts end with dots or another's hash."""
        folder = self.home
        for part in word.split("/"):
            name = re.sub(r"(\.\.\.|[0-9a-f]{8})$", "", part)
            if name != part:
                found = sorted(folder.glob(f"{name}*"))
                assert found, f"{word}: {folder} has {sorted(p.name for p in folder.glob('*'))}"
                part = found[0].name
            folder = folder / part
        return str(folder.relative_to(self.home))

    def _stage(self, stage):
        """The folder of a stage that the first sweep stands on."""
        manifest = self.home / self._folder(f"{QUICKSTART}/kl0.1-...") / "manifest.json"
        fingerprint = json.loads(manifest.read_text())["fingerprints"][stage]
        return str(next(self.home.glob(f"outputs/artifacts/{stage}/{fingerprint[:16]}")))


def has_settings(words):
    if words in (["--version"], ["--help"]):
        return False
    named = ("data", "doctor", "plan", "run")
    return not words or "=" in words[0] or words[0][0] == "-" or words[0] in named


def _sizes(words):
    asked = {word.partition("=")[0].lstrip("+") for word in words}
    own = "experiment=mine" in words or any(re.match("data=|experiment=rt", word) for word in words)
    given = bool({"model", "sft.path"} & asked)
    few = [size for of, more in FEW.items() if {*of.split()} <= {*words} for size in more]
    one = [size for of, more in ONE.items() if of in words for size in (*more, "hydra.mode=RUN")]
    sizes = [*SIZES, *([] if own else REVIEWS), *few, *one]
    if "experiment=quickstart" not in words:
        sizes.append("tracking=none")  # what MLflow shows is the first sweep
    return [
        size
        for size in sizes
        if size.partition("=")[0] not in asked and not (given and size.startswith("model"))
    ]


def _texts(path):
    lines = [json.dumps({"prompt": p, "completion": good}) for p, good, _ in rows()]
    path.write_text("\n".join(lines) + "\n")


def _pairs(path):
    columns = ("prompt", "chosen", "rejected")
    found = [dict(zip(columns, row, strict=True)) for row in rows()]
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in found))


def _prompts(path):
    texts = [prompt for prompt, *_ in rows()]
    if path.suffix == ".csv":
        path.write_text("\n".join(["prompt", *texts]) + "\n")
    else:
        path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))


def _polarity(folder):
    folder.mkdir()
    for at, name in ((1, "pos"), (2, "neg")):
        lines = (row[0] + row[at] for row in rows())
        (folder / f"rt-polarity.{name}").write_text("\n".join(lines) + "\n")


BROUGHT = {
    "demos.jsonl": _texts,
    "sft.jsonl": _texts,
    "pairs.jsonl": _pairs,
    "pairs.parquet": _pairs,
    "prompts.jsonl": _prompts,
    "prompts.csv": _prompts,
    "rt-polaritydata": _polarity,
}


@contextlib.contextmanager
def _said(home, log, variables):
    """In `home`, with all that is said in the file `log` and nothing to read."""
    gc.freeze()  # what the server has imported
    os.chdir(home)
    os.environ.update(variables)
    sys.path.insert(0, "")
    with open(log, "w") as file, open(os.devnull) as nothing:
        for number, stream in ((0, nothing), (1, file), (2, file)):
            os.dup2(stream.fileno(), number)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            sys.stdin = nothing
            yield


def _rlhf(words, *where):
    with _said(*where):
        sys.argv = ["rlhf", *words]
        from rlhf.__main__ import process

        sys.exit(process())


def _python(text, *where):
    with _said(*where):
        exec(compile(text, "<page>", "exec"), {"__name__": "__main__"})
