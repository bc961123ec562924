"""Runs of the product on a problem of the suite, in this process, each in a folder that follows
from its settings: what is finished is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.config.naming import run_hash
from rlhf.config.schema import Config
from rlhf.data.records import TaskData
from rlhf.rundir.read import number
from rlhf.runs.run import run
from rlhf.stages.context import StageContext
from rlhf.stages.table import artifacts, fingerprints

QUIET = ("tracking=none", "~callbacks.progress")

# What `experiment=oracle_suite` chooses for every algorithm, and what it chooses for PPO: in an
# experiment that would win over the advantage that an algorithm brings itself.
COMMON = (
    *("ppo=micro", "scorer=micro", "callbacks=oracle", "best_of_n=none", "study=oracle-suite"),
    *("evaluation.every=60", "evaluation.prompts=16", "model.architecture=gpt2", "model.layers=1"),
)
PPO = ("advantage=exact", "trust_region=early_stop", "trust_region.target=0.03")
NO_REGION = ("trust_region=none", "~trust_region.target")  # after the experiment

# Further words of algorithms of conf/algorithm; those without a line have WITHOUT_CRITIC.
WITHOUT_CRITIC = ("ppo.critic_warmup=0",)
WORDS: dict[str, tuple[str, ...]] = {"ppo": PPO, "ppo_ptx": PPO}


@dataclass(frozen=True)
class Problem:
    number: int
    folder: Path

    @property
    def name(self) -> str:
        return f"suite_{self.number}"

    def config(self, beta: float, words: Sequence[str] = ()) -> Config:
        own = [f"data={self.name}", f"kl.coef={beta:g}", *QUIET]
        place = f"paths.artifacts={self.folder / 'artifacts'}"
        chooses = any(word.startswith("algorithm=") for word in words)
        base = COMMON if chooses else ("experiment=oracle_suite",)
        return validate(compose([*base, place, *own, *words]))

    @cached_property
    def data(self) -> tuple[Any, TaskData]:
        source = build(self.config(1.0).data)
        return source, source.load()

    def context(self, beta: float) -> StageContext:
        source, data = self.data
        work = self.folder / "power" / self.name
        return StageContext(cfg=self.config(beta), source=source, data=data, run_directory=work)

    def sft(self) -> Path:
        context = self.context(1.0)
        return artifacts(context, fingerprints(context))["sft"]

    @contextlib.contextmanager
    def folder_of_its_own(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(self.folder):
            yield


def words_of(algorithm: str) -> tuple[str, ...]:
    """Overrides that choose an algorithm of conf/algorithm."""
    own = WORDS.get(algorithm, WITHOUT_CRITIC)
    return (f"algorithm={algorithm}", *own)


def reached(
    problem: Problem, beta: float, seed: int, label: str, words: Sequence[str]
) -> dict[str, Any]:
    """The oracle's numbers of a run's final policy; trained where it is not there."""
    cfg = problem.config(beta, [f"seed={seed}", *words])
    name = f"{problem.name}-beta{beta:g}-seed{seed}-{run_hash(cfg.plain())}"
    with problem.folder_of_its_own():
        summary = run(cfg, directory=problem.folder / "runs" / label / name)
    exact = {k.removeprefix("oracle/"): number(v) for k, v in summary.items() if "oracle/" in k}
    cost = {"responses": summary["episodes"], "cpu_seconds": summary["cpu_seconds"]}
    return {"problem": problem.number, "beta": beta, "seed": seed, "label": label, **exact, **cost}
