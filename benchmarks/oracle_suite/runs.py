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
from rlhf.rundir.status import is_finished
from rlhf.runs.run import run
from rlhf.stages.context import StageContext
from rlhf.stages.table import artifacts, fingerprints

QUIET = ("tracking=none", "~callbacks.progress")

# What `experiment=oracle_suite` chooses for every algorithm, and what it chooses for PPO: in an
# experiment that would win over the advantage that an algorithm brings itself.
COMMON = (
    *("ppo=micro", "scorer=micro", "callbacks=oracle", "best_of_n=none", "study=oracle-suite"),
    *("evaluation.every=60", "evaluation.prompts=16", "model.architecture=gpt2", "model.layers=1"),
    *("ppo.iterations=480", "ppo.optimizer.lr=2e-3", "ppo.optimizer.eps=1e-5"),
)
# There the coefficient begins where the optimum is spread, and counts from half of the run on
FALLING = (
    *("kl/controller=cosine", "kl.coef=2", "kl.controller.final=BETA"),
    "kl.controller.iterations=240",
)
PPO = ("advantage=exact", "trust_region=early_stop", "trust_region.target=0.03")
# after the experiment
FIXED = ("kl/controller=fixed", "~kl.controller.final", "~kl.controller.iterations", "kl.coef=BETA")
NO_REGION = ("trust_region=none", "~trust_region.target")

# Further words of algorithms; those without a line have WITHOUT_CRITIC. DPO's labels are drawn at
# the reward's own scale, so that its optimum at kl.coef is that of J at the same coefficient. Those
# that read no coefficient, or have none as published, are trained without one and judged at each;
# Quark's has a unit of its own, and is that of `method=quark`.
WITHOUT_CRITIC = ("ppo.critic_warmup=0",)
PAIRS = ("data.label_temperature=1", "data.pairs=12000", "ppo.aggregation=token_mean")
NO_KL = (*WITHOUT_CRITIC, "kl.coef=0")
WORDS: dict[str, tuple[str, ...]] = {
    "ppo": PPO,
    "ppo_ptx": PPO,
    "dpo": (*WITHOUT_CRITIC, *PAIRS),
    "ipo": (*WITHOUT_CRITIC, *PAIRS, "algorithm.loss=ipo"),
    "dapo": NO_KL,
    "best_of_n": NO_KL,
    "expert_iteration": NO_KL,
    "quark": ("algorithm.learns=best", "kl.coef=0.05"),
}
NAMES = {"ipo": "dpo"}  # of conf/algorithm, where it is another
STEPS = 4  # of the optimizer on each rollout, where algorithms are compared
# Of how many responses an update has a row: a pair is two, and of n the best one is kept.
ROWS = {"dpo": 2, "ipo": 2, "best_of_n": 16, "expert_iteration": 4}
PAIRED = ("dpo", "ipo")  # whose ppo.rollout_size counts pairs
ROUNDS = {"expert_iteration": "algorithm.round_iterations"}


EXPERIMENT = ("experiment=oracle_suite", "kl.controller.final=BETA")


def at(words: Sequence[str], beta: float) -> tuple[str, ...]:
    """The words at a coefficient."""
    return tuple(
        word.replace("TEN_BETA", f"{10 * beta:g}").replace("BETA", f"{beta:g}") for word in words
    )


@dataclass(frozen=True)
class Problem:
    number: int
    folder: Path

    @property
    def name(self) -> str:
        return f"suite_{self.number}"

    def config(self, beta: float, words: Sequence[str] = ()) -> Config:
        """Of an algorithm that the words choose, at a fixed coefficient; else of PPO with them."""
        place = f"paths.artifacts={self.folder / 'artifacts'}"
        chooses = any(word.startswith("algorithm=") for word in words)
        base = (*COMMON, "kl.coef=BETA") if chooses else EXPERIMENT
        return validate(compose([f"data={self.name}", place, *QUIET, *at((*base, *words), beta)]))

    @cached_property
    def data(self) -> tuple[Any, TaskData]:
        source = build(self.config(1.0).data)
        return source, source.load()

    def context(self, beta: float) -> StageContext:
        source, data = self.data
        work = self.folder / "power" / self.name
        return StageContext(
            cfg=self.config(beta, FIXED), source=source, data=data, run_directory=work
        )

    def sft(self) -> Path:
        context = self.context(1.0)
        return artifacts(context, fingerprints(context))["sft"]

    @contextlib.contextmanager
    def folder_of_its_own(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(self.folder):
            yield


def words_of(algorithm: str) -> tuple[str, ...]:
    """Overrides that choose an algorithm of conf/algorithm, or `ipo`, at a fixed coefficient."""
    own = WORDS.get(algorithm, WITHOUT_CRITIC)
    return (f"algorithm={NAMES.get(algorithm, algorithm)}", *own)


def budget(algorithm: str, iterations: int, rollout: int) -> tuple[str, ...]:
    """Overrides by which every algorithm has the same number of responses an iteration and of
    optimizer steps on them; expert iteration has four rounds."""
    rows = ROWS.get(algorithm, 1)
    drawn = rollout // rows if algorithm in PAIRED else rollout
    words = [f"ppo.iterations={iterations}", f"ppo.rollout_size={drawn}"]
    words += [f"ppo.minibatch_size={rollout // rows // STEPS}"]
    if algorithm in ROUNDS:
        words.append(f"{ROUNDS[algorithm]}={max(1, iterations // 4)}")
    return tuple(words)


def reached(
    problem: Problem,
    beta: float,
    seed: int,
    label: str,
    words: Sequence[str],
    *,
    train: bool = True,
) -> dict[str, Any] | None:
    """The oracle's numbers of a run's final policy. Where it is not there it is trained; without
    `train` the answer is None."""
    place, name = problem.folder / "runs" / label, f"{problem.name}-beta{beta:g}-seed{seed}-"
    if not train and not [*place.glob(f"{name}*")]:
        return None
    cfg = problem.config(beta, [f"seed={seed}", *words])
    directory = place / f"{name}{run_hash(cfg.plain())}"
    if not train and not is_finished(directory):
        return None
    with problem.folder_of_its_own():
        summary = run(cfg, directory=directory)
    exact = {k.removeprefix("oracle/"): number(v) for k, v in summary.items() if "oracle/" in k}
    # DPO draws none: of its pairs each is two responses
    drawn = summary["episodes"] or 2 * cfg.ppo.iterations * cfg.ppo.rollout_size
    cost = {"responses": drawn, "cpu_seconds": summary["cpu_seconds"]}
    return {"problem": problem.number, "beta": beta, "seed": seed, "label": label, **exact, **cost}
