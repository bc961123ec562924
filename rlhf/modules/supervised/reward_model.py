"""The reward model: Bradley-Terry on preference pairs (Christiano et al. 2017, arXiv 1706.03741;
InstructGPT, arXiv 2203.02155, Eq. 1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlhf.functional.losses import bradley_terry
from rlhf.functional.pooling import Mean, pooled
from rlhf.models.scalar import Scalar
from rlhf.models.training.features import Features
from rlhf.modules.base import Metrics
from rlhf.modules.supervised.base import SupervisedModule
from rlhf.ranks.numbers import means_of_all
from rlhf.ranks.rows import joined
from rlhf.types import PreferenceBatch

CALIBRATION_BINS = 10


class RewardModule(SupervisedModule):
    """Loss -log sigmoid(r_chosen - r_rejected - margin) + centering * (r_chosen + r_rejected)^2,
    mean over pairs."""

    stage = "reward_model"
    model: Scalar

    def __init__(
        self,
        model: Scalar,
        *,
        margin: bool = False,
        centering: float = 0.0,
        features: Features | None = None,
        **training: Any,
    ) -> None:
        """`features`: what a frozen backbone makes of all texts, in place of reading them anew.
        `training`: the other arguments of a `SupervisedModule`."""
        super().__init__(model, **training)
        self.margin, self.centering, self.features = margin, centering, features

    def scores(self, batch: PreferenceBatch) -> tuple[Tensor, Tensor]:
        """Of the chosen and of the rejected texts [B], from one forward pass."""
        tokens, mask = batch.texts
        if self.features is None:
            scores = self.model.score(tokens, mask)
        else:
            scores = self.model.read(self.features.of(tokens, mask))
        chosen, rejected = scores.chunk(2)
        return chosen, rejected

    def loss(self, chosen: Tensor, rejected: Tensor, batch: PreferenceBatch) -> Tensor:
        return bradley_terry(
            chosen, rejected, batch.margin if self.margin else None, centering=self.centering
        )

    def training_step(self, batch: PreferenceBatch, batch_idx: int) -> Tensor:
        with self.forward_pass():
            chosen, rejected = self.scores(batch)
        loss = self.loss(chosen, rejected, batch)
        right = chosen > rejected
        counted = torch.full_like(right, batch.counts)
        self.log_step(loss=Mean.over(loss, batch.counted), accuracy=Mean.of(right, counted))
        return self.share(loss, batch)

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """On held-out pairs: loss, accuracy (share with the chosen one scored higher) and
        calibration error."""
        losses, gaps = [], []
        for batch, counts in self.own_heldout():
            chosen, rejected = self.scores(batch)
            losses.append(Mean.over(self.loss(chosen, rejected, batch), len(chosen) * counts))
            gaps += [(chosen - rejected).cpu()] * counts
        every = joined([tuple(own) for own in self.ranks.gather(gaps)])
        if not every:
            return {}
        gap = torch.cat(every)
        return {
            "val/loss": float(means_of_all(self.ranks, {"loss": pooled(losses)})["loss"]),
            "val/accuracy": float((gap > 0).float().mean()),
            "val/pairs": len(gap),
            "val/calibration_error": calibration_error(gap),
        }


def calibration_error(gap: Tensor) -> float:
    """Expected calibration error of p = sigmoid(|gap|) for "the higher scored one was chosen"; gap
    = r_chosen - r_rejected [N].

    sum over 10 equal bins of p in [1/2, 1] of (share of pairs) * |accuracy - mean p| (Guo et al.
    2017, arXiv 1706.04599).
    """
    confidence, right = torch.sigmoid(gap.abs()), (gap > 0).float()
    bins = ((confidence - 0.5) * 2 * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    return sum(
        float(here.float().mean() * (right[here].mean() - confidence[here].mean()).abs())
        for here in (bins == b for b in range(CALIBRATION_BINS))
        if here.any()
    )
