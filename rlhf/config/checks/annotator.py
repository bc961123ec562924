"""What an annotator needs of a run, and who asks it. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from rlhf.annotators.checks import pool_faults
from rlhf.config.checks.parts import SECTIONS as NEEDED
from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.annotators.annotator import PLAIN_GOLD, Pool, members_of
from rlhf.config.pieces.annotators.openai import OpenAIAnnotator
from rlhf.config.properties import asks, given_parts, is_trained, learns_from, needed_stages

SECTIONS = (*NEEDED, "labels", "trainer")


def faults(**sections: Any) -> Iterator[Fault]:
    """A fault for each thing that the run's annotator needs and cannot have. Of sampled pairs
    without gold `missing_parts` tells."""
    cfg: Any = SimpleNamespace(**sections)
    name = f"annotator={cfg.annotator.name}"
    if isinstance(cfg.annotator, Pool):
        for key, reason in pool_faults(cfg.annotator.members, cfg.annotator.weights):
            yield Fault(f"annotator.{key}", reason)
    try:
        labels, sampled = labels_pairs(cfg), samples_pairs(cfg)
        by_gold = asks(cfg.annotator, "needs_gold", by_default=False)
        by_model = asks(cfg.annotator, "needs_reward_model", by_default=False)
    except ValueError as error:
        yield Fault("", str(error))
        return
    if labels and by_gold and not sampled and not getattr(cfg.data, "has_gold", True):
        yield Fault(
            name,
            "labels=annotator would label pairs by gold, and the data has none; set"
            " data.gold=vader, or take another annotator (annotator=judge)",
        )
    if labels and by_model:
        pairs = "sampled pairs" if sampled else "with labels=annotator pairs"
        yield Fault(
            name,
            f"{pairs} are labelled before there is a reward model, which would learn from them;"
            " take another annotator (annotator=classifier reads a reward model that is there)",
        )
    for key, each in members_of(cfg.annotator).items():
        unkept = isinstance(each, OpenAIAnnotator) and each.cache is None
        if labels and unkept and cfg.trainer.ranks > 1:
            yield Fault(
                f"{key}.cache=null",
                f"{cfg.trainer.ranks} ranks learn from the labels, and each would ask for its own;"
                " name a folder, which they share",
            )


def samples_pairs(cfg: Any) -> bool:
    """True if the data has no pairs, so that they are sampled from the SFT policy and labelled by
    the annotator; False where a class of the user's own does not say what it has.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    parts = given_parts(cfg.data)
    return parts is not None and "preferences" not in parts


def labels_pairs(cfg: Any) -> bool:
    """True if the run learns from pairs that its annotator labels: by its reward model, or by its
    algorithm.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    stages = [stage.name for stage in needed_stages(cfg)]
    learns = "reward_model" in stages and is_trained(cfg, "reward_model")
    learns = learns or (cfg.stage == "ppo" and "preferences" in learns_from(cfg.algorithm))
    return learns and (samples_pairs(cfg) or cfg.labels == "annotator")


def asked_for(cfg: Any) -> tuple[str, ...]:
    """What the run asks its annotator for: `labels` of preference pairs, `win rates`.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    labels = ("labels",) if labels_pairs(cfg) else ()
    return (*labels, "win rates") if measures_win_rates(cfg) else labels


def measures_win_rates(cfg: Any) -> bool:
    """True if the run's evaluations ask its annotator for win rates."""
    return cfg.stage == "ppo" and cfg.evaluation.win_rate is not None


def annotator_cautions(cfg: Any) -> list[str]:
    """A sentence where an annotator is chosen that nobody asks."""
    if cfg.annotator == PLAIN_GOLD or asked_for(cfg) or given_parts(cfg.data) is None:
        return []
    return [
        f"annotator={cfg.annotator.name} is asked nothing by this run: labels=annotator has it"
        " label the data's pairs, for a run that learns from pairs, and evaluation.win_rate=sft"
        " compare the policy's answers with SFT's"
    ]
