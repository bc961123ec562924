"""What win rates cannot be measured with (rlhf.annotators)."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from rlhf.annotators.checks import words_fault
from rlhf.annotators.endpoint.checks import limits_fault
from rlhf.config.checks.annotator import measures_win_rates
from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.annotators.annotator import members_of
from rlhf.config.pieces.annotators.openai import OpenAIAnnotator
from rlhf.config.properties import asks, needs_reward_model

SECTIONS = (
    *("annotator", "evaluation", "data", "stage", "scorer", "ppo", "algorithm", "advantage"),
)


def faults(**sections: Any) -> Iterator[Fault]:
    """An annotator that judges by what the run does not have, and limits that limit nothing."""
    cfg: Any = SimpleNamespace(**sections)
    for key, each in members_of(cfg.annotator).items():
        if isinstance(each, OpenAIAnnotator):
            yield from _endpoint(key, each)
    if not measures_win_rates(cfg):
        return
    try:
        by_gold = asks(cfg.annotator, "needs_gold", by_default=False)
        by_model = asks(cfg.annotator, "needs_reward_model", by_default=False)
        has_model = needs_reward_model(cfg.scorer, cfg.ppo, cfg.algorithm, cfg.advantage)
    except ValueError as error:
        yield Fault("", str(error))
        return
    where = f"annotator={cfg.annotator.name}"
    asked = f"evaluation.win_rate={cfg.evaluation.win_rate}"
    if by_gold and not getattr(cfg.data, "has_gold", True):
        yield Fault(
            where,
            f"the data has no gold reward, which {asked} would be judged by; set data.gold=vader,"
            " or take another annotator",
        )
    if by_model and not has_model:
        yield Fault(
            where,
            f"the run trains no reward model, which {asked} would be judged by; take"
            " scorer=reward_model, or another annotator",
        )


def _endpoint(key: str, annotator: OpenAIAnnotator) -> Iterator[Fault]:
    cost = annotator.max_cost
    if fault := limits_fault(cost, annotator.price_in, annotator.price_out):
        yield Fault(f"{key}.max_cost={cost}", fault)
    if fault := words_fault(annotator.answers, annotator.tie):
        yield Fault(f"{key}.answers", fault)
