"""The win rate of a policy over a baseline by an annotator, as metrics of an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf.annotators.ask import with_members
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
from rlhf.metrics.win_rates import EQUAL_LENGTH, OF_MEMBER, WIN_RATE

log = logging.getLogger(__name__)

# of a pool's member
OWN = (
    *(WIN_RATE, f"{WIN_RATE}_se", EQUAL_LENGTH, f"{EQUAL_LENGTH}_se"),
    *(f"{WIN_RATE}/position_bias", f"{WIN_RATE}/unanswered"),
)


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


def in_both_orders(
    annotator: Any, comparisons: Sequence[Comparison]
) -> dict[str | None, InBothOrders | Unreachable]:
    """What an annotator says (under None), and each member of a pool by its name, where the first
    answer, the policy's, is shown first, and where it is shown second; draws play no part. Of one
    that cannot be asked: why."""
    asked = torch.tensor([not each.same for each in comparisons], dtype=torch.bool)
    apart = [each for each in comparisons if not each.same]
    ties = torch.full((len(comparisons),), TIE, dtype=torch.float64)
    if not apart:
        names = (None, *getattr(annotator, "members", ()))
        tied = InBothOrders(policy_first=ties, policy_second=ties, asked=asked)
        return dict.fromkeys(names, tied)
    given: dict[str | None, InBothOrders | Unreachable] = {}
    for name, said in with_members(annotator, [*apart, *(each.swapped for each in apart)]).items():
        if isinstance(said, Unreachable):
            given[name] = said
            continue
        first, second = said.chunk(2)
        given[name] = InBothOrders(
            policy_first=ties.masked_scatter(asked, first),
            policy_second=ties.masked_scatter(asked, 1 - second),
            asked=asked,
        )
    return given


def win_rate_metrics(
    annotator: Any, comparisons: Sequence[Comparison], where: str
) -> dict[str, float]:
    """`win_rate` and its kin (rlhf.metrics) of comparisons whose first answer is the policy's, and
    of a pool's members `win_rate/of/<name>`; a warning in place of those of an annotator that
    cannot be reached: no training is lost by it.

    Args:
        where: the iteration, as a warning names it.
    """
    asked: dict[str | None, Any] = {None: annotator, **getattr(annotator, "members", {})}
    before = {name: getattr(each, "unanswered", None) for name, each in asked.items()}
    metrics: dict[str, float] = {}
    for name, preferences in in_both_orders(annotator, comparisons).items():
        if isinstance(preferences, Unreachable):
            whose = "" if name is None else f" of {name}"
            log.warning("%s: no win rate%s. %s", where, whose, preferences)
            continue
        own = _metrics(preferences, comparisons)
        if (unanswered := before[name]) is not None:  # each comparison was asked twice
            lost = asked[name].unanswered - unanswered
            own[f"{WIN_RATE}/unanswered"] = lost / max(1, 2 * int(preferences.asked.sum()))
        if name is not None:
            own = {OF_MEMBER + name + key[len(WIN_RATE) :]: own[key] for key in OWN if key in own}
        metrics |= own
    return metrics


def _metrics(given: InBothOrders, comparisons: Sequence[Comparison]) -> dict[str, float]:
    groups = groups_of([each.prompt.text for each in comparisons])
    differences = lengths([each.first for each in comparisons])
    differences -= lengths([each.second for each in comparisons])
    plain = win_rate(given.mean, groups)
    at_equal_length = length_controlled(given.mean, differences, groups)
    by_place = position_bias(given.policy_first[given.asked], given.policy_second[given.asked])
    return {
        WIN_RATE: plain.mean,
        f"{WIN_RATE}_se": plain.se,
        f"{WIN_RATE}/length_controlled": at_equal_length.mean,
        f"{WIN_RATE}/length_controlled_se": at_equal_length.se,
        f"{WIN_RATE}/length_effect": at_equal_length.effect,
        f"{WIN_RATE}/ties": ties(given.mean),
        f"{WIN_RATE}/position_bias": by_place.changed,
        f"{WIN_RATE}/first_place": by_place.first_place,
    }
