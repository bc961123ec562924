"""An annotator that is made of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rlhf.annotators.ask import in_given_order
from rlhf.annotators.base import Annotator, Comparison, Live, Simulated, bound
from rlhf.annotators.checks import pool_faults
from rlhf.annotators.endpoint.budget import Unreachable


class Pool(Simulated):
    """Each comparison is judged by one member, drawn with a probability by its weight; without a
    generator its preference is the members' weighted mean, p = sum_i w_i p_i / sum_i w_i, for which
    all of them are asked.

    AlpacaFarm's simulated annotators are such a pool: 13 of them, and a quarter of the labels
    flipped (Dubois et al. 2023, arXiv 2305.14387, section 3).

    Args:
        members: annotators by name.
        weights: by the same names, 1 where none is given.
        flip: the share of all votes that say the opposite, beside the members' own.

    Raises:
        ValueError: there is no member, a weight is nobody's or below 0, or all are 0.
    """

    name, needs_generator = "pool", True

    def __init__(
        self,
        members: Mapping[str, Annotator],
        weights: Mapping[str, float] | None = None,
        flip: float = 0.0,
    ) -> None:
        super().__init__(flip)
        for key, reason in pool_faults(members, weights or {}):
            raise ValueError(f"{key} {reason}")
        self.members = dict(members)
        own = [float((weights or {}).get(name, 1.0)) for name in members]
        self.weights = torch.tensor(own, dtype=torch.float64) / sum(own)
        every = members.values()
        self.needs_gold = any(getattr(each, "needs_gold", False) for each in every)
        self.needs_reward_model = any(getattr(each, "needs_reward_model", False) for each in every)

    def take(self, live: Live) -> None:
        self.members = {name: bound(each, live) for name, each in self.members.items()}

    def prepare(self) -> None:
        for each in self.members.values():
            getattr(each, "prepare", lambda: None)()

    def identity(self) -> Any:
        own: dict[str, Any] = {
            name: getattr(each, "identity", lambda: None)() for name, each in self.members.items()
        }
        return {name: value for name, value in own.items() if value is not None} or None

    def probabilities(self, comparisons: Sequence[Comparison]) -> Tensor:
        every = [each.prefer(comparisons, None) for each in self.members.values()]
        return self.weights @ torch.stack(every)

    def each_shown_first(
        self, comparisons: Sequence[Comparison]
    ) -> dict[str, Tensor | Unreachable]:
        """[N] float64 of each member, by its name: the same, each comparison in the order it has
        alone; or why it could not be asked."""

        def said(member: Annotator) -> Tensor | Unreachable:
            try:
                return in_given_order(member, comparisons)
            except Unreachable as error:
                return error

        return {name: said(each) for name, each in self.members.items()}

    def shown_first(self, comparisons: Sequence[Comparison]) -> Tensor:
        """[N] float64: the weighted mean of these."""
        return self.together(self.each_shown_first(comparisons))

    def together(self, preferences: Mapping[str, Tensor | Unreachable]) -> Tensor:
        """[N] float64: the weighted mean of what the members, by their names, say.

        Raises:
            Unreachable: one that has a weight could not be asked.
        """
        votes = []
        for weight, said in zip(self.weights, map(preferences.get, self.members), strict=True):
            if weight > 0 and isinstance(said, Unreachable):
                raise said
            if weight > 0:
                votes.append(weight * said)
        return torch.stack(votes).sum(0)

    def prefer(
        self, comparisons: Sequence[Comparison], generator: torch.Generator | None
    ) -> Tensor:
        """[N] float64. Who is asked, what each says and what is flipped come from generators of
        their own, so that further comparisons leave the votes on those before them as they are."""
        if generator is None or not comparisons:
            return super().prefer(comparisons, generator)
        who_draws, flip_draws, *draws = _split(generator, len(self.members) + 2)
        who, votes = self.asked(len(comparisons), who_draws), torch.zeros(len(comparisons)).double()
        for i, member in enumerate(self.members.values()):
            rows = (who == i).nonzero().flatten().tolist()
            if rows:
                votes[rows] = member.prefer([comparisons[row] for row in rows], draws[i])
        u = torch.rand(len(votes), dtype=torch.float64, generator=flip_draws)
        return torch.where(u < self.flip, 1 - votes, votes)

    def asked(self, count: int, generator: torch.Generator) -> Tensor:
        """[N] long: the number of the member that each comparison is asked of."""
        u = torch.rand(count, dtype=torch.float64, generator=generator)
        last = int(self.weights.nonzero().max())
        return torch.searchsorted(self.weights.cumsum(0), u, right=True).clamp(max=last)


def _split(generator: torch.Generator, count: int) -> list[torch.Generator]:
    """Generators that are seeded by one, whatever is drawn of each."""
    seeds = torch.randint(2**62, (count,), generator=generator).tolist()
    return [torch.Generator().manual_seed(seed) for seed in seeds]
