"""The stages as a table: what each reads, what decides its result, and what it stands on.
Torch-free.

Naming, validation, caching, tracking and reproduction read it; `rlhf.stages.table` says how each
stage is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Raised when the code of a stage changes what the same config gives: artifacts of older code are
# then no longer found.
CODE_VERSION = 4


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a run. Its own settings are the section of its name."""

    name: str
    sections: tuple[str, ...]  # of the config, that decide its result: those of its parents aside
    data: tuple[str, ...]  # the parts of the data that it learns from
    parents: tuple[str, ...] = ()  # all that it stands on, the first to be made first
    bookkeeping: tuple[str, ...] = ("checkpoint_every",)  # own settings that decide nothing
    unit: str = "epoch"  # what one of its iterations is called
    measure: str = ""  # its metric that the summaries of runs that stand on it have
    # trained in the run's own directory and tracked as the run; others are made once for all runs
    is_run: bool = False
    seed: str  # the dotted key of its seed


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name="sft",
            sections=("data", "model", "adapter", "trainer", "sft"),
            data=("demonstrations",),
            measure="val/perplexity",
            seed="sft.seed",
        ),
        Stage(
            name="reward_model",
            sections=("reward_model", "generation", "annotator", "labels"),
            data=("preferences", "prompts"),
            parents=("sft",),
            measure="val/accuracy",
            seed="reward_model.seed",
        ),
        Stage(
            name="ppo",
            sections=(
                *("algorithm", "ppo", "advantage", "scorer", "kl", "trust_region", "evaluation"),
                "seed",
            ),
            data=("prompts",),
            parents=("sft", "reward_model"),
            unit="iteration",
            is_run=True,
            seed="seed",
        ),
    )
}

# Sections that say where a run lies, who watches it and what is measured beside it, not what
# comes out; and settings of other sections that do not either.
ASIDE = (
    *("paths", "tracking", "callbacks", "checkpoints", "best_of_n", "realign"),
    *("study", "sweep", "rerun", "hydra"),
    *("time_limit", "requeue"),
)
ASIDE_KEYS = (
    *(f"{stage.name}.{key}" for stage in STAGES.values() for key in stage.bookkeeping),
    "evaluation.samples",
    # of an endpoint: how it is reached, not what it is asked
    *(f"annotator.{key}" for key in ("api_key_env", "max_concurrency", "timeout", "retries")),
    *(f"annotator.{key}" for key in ("backoff", "max_requests", "max_cost", "cache", "check")),
    *("annotator.price_in", "annotator.price_out"),
    "data.max_lost",
    "data.license",
    # of how many devices share the work: another number goes on with the same run (decision 0020)
    *(f"trainer.{key}" for key in ("strategy", "devices", "num_nodes", "timeout")),
)
MEMBER = re.compile(r"^annotator\.members\.[^.]+\.")


def decides(key: str) -> bool:
    """True if a dotted key of the config has a part in what comes out."""
    return key.partition(".")[0] not in ASIDE and not is_aside(key)


def is_aside(key: str) -> bool:
    """True of a dotted key of a section that decides, where it does not itself; of an annotator in
    a pool as of one alone."""
    return MEMBER.sub("annotator.", key) in ASIDE_KEYS


def lineage(stage: str) -> list[Stage]:
    """The stage's ancestors, the first to be made first, and the stage itself."""
    return [STAGES[name] for name in (*STAGES[stage].parents, stage)]


def deciding_sections(stage: str) -> list[str]:
    """The sections of the config that decide the stage's result."""
    return ["stage", *(section for ancestor in lineage(stage) for section in ancestor.sections)]
