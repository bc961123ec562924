"""The win rate of a policy over a baseline by an annotator, as metrics of an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf.annotators.ask import in_given_order
from rlhf.annotators.base import Comparison
from rlhf.annotators.endpoint.budget import Unreachable
from rlhf.annotators.win_rates.statistics import (
    TIE,
    length_controlled,
    lengths,
    position_bias,
    ties,
    win_rate,
)
from rlhf.functional.standard_errors import groups_of
from rlhf.metrics.win_rates import WIN_RATE

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InBothOrders:
    """Preferences for the policy's answer, [B] float64 each: shown first, and shown second. `asked`
    [B] bool: nobody was where both answers are the same, a tie."""

    policy_first: Tensor
    policy_second: Tensor
    asked: Tensor

    @property
    def mean(self) -> Tensor:
        return (self.policy_first + self.policy_second) / 2


def in_both_orders(annotator: Any, comparisons: Sequence[Comparison]) -> InBothOrders:
    """What an annotator says where the first answer, the policy's, is shown first, and where it is
    shown second; draws play no part."""
    asked = torch.tensor([not each.same for each in comparisons], dtype=torch.bool)
    apart = [each for each in comparisons if not each.same]
    policy_first = torch.full((len(comparisons),), TIE, dtype=torch.float64)
    policy_second = policy_first.clone()
    if apart:
        swapped = [each.swapped for each in apart]
        first, second = in_given_order(annotator, [*apart, *swapped]).chunk(2)
        policy_first[asked], policy_second[asked] = first, 1 - second
    return InBothOrders(policy_first=policy_first, policy_second=policy_second, asked=asked)


def win_rate_metrics(
    annotator: Any, comparisons: Sequence[Comparison], where: str
) -> dict[str, float]:
    """`win_rate` and its kin (rlhf.metrics) of comparisons whose first answer is the policy's;
    nothing, with a warning, where the annotator cannot be reached: no training is lost by it.

    Args:
        where: the iteration, as a warning names it.
    """
    before = getattr(annotator, "unanswered", None)
    try:
        given = in_both_orders(annotator, comparisons)
    except Unreachable as error:
        log.warning("%s: no win rate. %s", where, error)
        return {}
    groups = groups_of([each.prompt.text for each in comparisons])
    differences = lengths([each.first for each in comparisons])
    differences -= lengths([each.second for each in comparisons])
    plain = win_rate(given.mean, groups)
    at_equal_length = length_controlled(given.mean, differences, groups)
    by_place = position_bias(given.policy_first[given.asked], given.policy_second[given.asked])
    metrics = {
        WIN_RATE: plain.mean,
        f"{WIN_RATE}_se": plain.se,
        f"{WIN_RATE}/length_controlled": at_equal_length.mean,
        f"{WIN_RATE}/length_controlled_se": at_equal_length.se,
        f"{WIN_RATE}/length_effect": at_equal_length.effect,
        f"{WIN_RATE}/ties": ties(given.mean),
        f"{WIN_RATE}/position_bias": by_place.changed,
        f"{WIN_RATE}/first_place": by_place.first_place,
    }
    if before is not None:  # each comparison was asked twice
        lost = annotator.unanswered - before
        metrics[f"{WIN_RATE}/unanswered"] = lost / max(1, 2 * int(given.asked.sum()))
    return metrics
