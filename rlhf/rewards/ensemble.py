"""A reward by several reward models, which differ in their seed."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from rlhf.arguments import one_of
from rlhf.rollout.score import Responses, Scorer


class EnsembleScorer(Scorer):
    """What `how` makes of the members' scores r_1 ... r_N: their mean, their minimum, or
    mean - k * std, std = sqrt(sum_i (r_i - mean)^2 / N).

    The minimum is the worst-case optimisation of Coste et al. 2023 (arXiv 2310.02743); their
    uncertainty-weighted one takes the variance where this takes the standard deviation, so that k
    has no unit. The result is shown as `reward/proxy`, the standard deviation as
    `reward/disagreement`.

    Args:
        members: reward models; the run trains them with the seeds `reward_model.seed`, + 1, ...
    """

    needs_reward_model = True
    measured = ("disagreement",)

    def __init__(
        self,
        members: int,
        how: Literal["mean", "min", "mean_minus_std"] = "mean",
        k: float = 1.0,
        **rules: Any,
    ) -> None:
        super().__init__(**rules)
        if members < 2:
            raise ValueError(f"members must be 2 or more, got {members}")
        if k < 0:
            raise ValueError(f"k must be 0 or more, got {k}")
        self.members, self.k = members, k
        self.how = one_of("how", how, ("mean", "min", "mean_minus_std"))

    def measures(self, responses: Responses) -> dict[str, Tensor]:
        scores = self._members(responses)
        spread = scores.std(0, correction=0)
        proxy = {"mean": scores.mean(0), "min": scores.amin(0)}.get(
            self.how, scores.mean(0) - self.k * spread
        )
        return {"proxy": proxy, "disagreement": spread}

    def score(self, responses: Responses) -> Tensor:
        return self.measures(responses)["proxy"]

    def _members(self, responses: Responses) -> Tensor:
        scores = responses.members
        if scores is None or len(scores) != self.members:
            count = 0 if scores is None else len(scores)
            raise ValueError(
                f"scorer=ensemble needs {self.members} reward models, there are {count}"
            )
        return scores
