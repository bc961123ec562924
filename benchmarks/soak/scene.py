"""The tiny experiment, its reference, and folders to try things in."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.soak.commands import NONE, Ended, Fault, Server
from benchmarks.soak.same import compare
from benchmarks.soak.tries import Try

EXPERIMENT_TEXT = """
    study=soak data=micro ppo=micro kl/controller=pid kl.coef=0.1 kl.controller.target=0.1
    kl/reference=ema data.demonstrations=64 data.pairs=48 model.hidden_size=16 model.layers=1
    model.heads=2 sft.epochs=3 sft.batch_size=16 reward_model.epochs=3
    reward_model.batch_size=16 reward_model.normalize_samples=32 ppo.iterations=8
    ppo.rollout_size=16 ppo.minibatch_size=8 ppo.critic_warmup=1 ppo.checkpoint_every=2
    evaluation.prompts=4 evaluation.samples=2 evaluation.every=2 best_of_n=none
"""
EXPERIMENT = tuple(EXPERIMENT_TEXT.split())
STEERED = ("kl/", "kl.controller")  # words that have no place beside a path
PATH = (
    *(word for word in EXPERIMENT if not word.startswith(STEERED)),
    *("kl/controller=path", "kl.controller.start=0.4", "kl.controller.points=3"),
    *("kl.controller.keep_values=false", "kl.controller.restart_lr=true"),
    *("kl.controller.at_least=2", "kl.controller.window=2", "ppo.iterations=4"),
)
SWEEP = ("-m", *EXPERIMENT, "seed=0,1,2,3,4,5", "sweep=soak", "ppo.iterations=16")
SWEEP += ("hydra.launcher.jobs=2",)
AGAIN = 3  # times that the same command may be needed to be done


@dataclass
class Scene:
    root: Path
    seed: int
    keep: bool = False
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = Server(self.root / "shown")
        self._lock = threading.Lock()
        self._references: dict[tuple[str, ...], tuple[Path, Ended]] = {}
        self.template = self.root / "store"
        (self.template / "outputs").mkdir(parents=True)
        self.server.call(_make_nothing)  # the first one waits for the imports
        began = time.monotonic()
        self.server.call(_make_store, self.template)
        self.store_seconds = time.monotonic() - began

    def rng(self, kind: str, index: int) -> Random:
        """Draws of a try depend on the seed, its kind and its number alone."""
        return Random(f"{self.seed}/{kind}/{index}")

    def reference(self, words: Sequence[str] = EXPERIMENT) -> tuple[Path, Ended]:
        """The folder of the same command that nothing happened to, and how it ended."""
        with self._lock:
            if tuple(words) not in self._references:
                name = f"reference{len(self._references)}"
                folder = self.fresh(name)
                ended = self.server.run(folder, words)
                if ended.code:
                    raise RuntimeError(f"the reference failed ({ended.code}): {ended.text}")
                self._references[tuple(words)] = folder, ended
            return self._references[tuple(words)]

    def fresh(self, name: str, *, cold: bool = False) -> Path:
        """An empty folder, but for MLflow's database with nothing in it unless `cold`: to make it
        takes longer than the run."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if not cold:
            self.place_store(folder)
        return folder

    def place_store(self, folder: Path) -> None:
        shutil.copytree(self.template / "outputs", folder / "outputs", dirs_exist_ok=True)
        with closing(sqlite3.connect(folder / "outputs/mlflow.db")) as db, db:
            db.execute(
                "update experiments set artifact_location = replace(artifact_location, ?, ?)",
                (self.template.as_uri(), folder.as_uri()),
            )

    def done(self, folder: Path) -> None:
        if not self.keep:
            shutil.rmtree(folder, ignore_errors=True)

    def draw(
        self,
        rng: Random,
        numbers: Sequence[int],
        longer: float = 0.0,
        words: Sequence[str] = EXPERIMENT,
    ) -> Fault:
        """A signal at any moment of the run, which is `longer` seconds longer than the reference:
        half by the clock, half by operations on files."""
        _, ended = self.reference(words)
        number = rng.choice(numbers)
        if rng.random() < 0.5:
            return Fault(number, seconds=rng.uniform(0.01, ended.seconds + longer))
        return Fault(number, operation=rng.randint(1, ended.operations))

    def finish(
        self,
        this: Try,
        folder: Path,
        words: Sequence[str] = EXPERIMENT,
        *,
        store: bool = True,
        command: Callable[[], Ended] | None = None,
    ) -> None:
        """Gives the same command until it is done and MLflow has all, and compares."""
        reference, _ = self.reference(words)
        for _ in range(AGAIN):
            ended = command() if command else self.server.run(folder, words, NONE)
            this.saw(ended)
            if ended.code == 0 and "did not take all" not in ended.text:
                break
        if "did not take all" in ended.text:
            (why,) = [line for line in ended.text.splitlines() if "did not take all" in line][:1]
            this.breaks(f"{AGAIN} times the same command did not deliver: {why}")
        if ended.code:
            this.breaks(f"the same command again: exit code {ended.code}: {ended.last_words}")
        this.differs(compare(folder, reference, store=store))


def place(folder: Path) -> str:
    """How far the run in the folder is, by its own word."""
    for path in folder.glob("outputs/soak/*/status.json"):
        if (path.parent / "summary.json").exists():
            return "finishing"
        try:
            return str(json.loads(path.read_text()).get("stage", "before the first stage"))
        except ValueError:
            return "an unreadable status"
    artifacts = folder / "outputs/artifacts"
    return "before the first stage" if not artifacts.exists() else "a stage"


def _make_nothing() -> None:
    pass


def _make_store(folder: Path) -> None:
    """An MLflow database with the experiment in it and no run, made by `rlhf` itself."""
    from rlhf.tracking.store import prepare_store

    os.chdir(folder)
    prepare_store("sqlite:///outputs/mlflow.db", "soak")
