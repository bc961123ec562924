"""The reward model: Bradley-Terry on preference pairs (Christiano et al. 2017, arXiv 1706.03741;
InstructGPT, arXiv 2203.02155, Eq. 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from rlhf.functional.losses import bradley_terry
from rlhf.models.scalar import ScalarModel
from rlhf.modules.base import Metrics, StageModule, with_initial_lr
from rlhf.modules.sft import MakeOptimizer
from rlhf.types import PreferenceBatch

CALIBRATION_BINS = 10


class RewardModule(StageModule):
    """Loss -log sigmoid(r_chosen - r_rejected - margin) + centering * (r_chosen + r_rejected)^2,
    mean over pairs."""

    stage = "reward_model"
    unit = "epoch"

    def __init__(
        self,
        model: ScalarModel,
        *,
        make_optimizer: MakeOptimizer,
        heldout: Callable[[], Iterable[PreferenceBatch]],
        epochs: int,
        margin: bool = False,
        centering: float = 0.0,
        lr_schedule: str = "constant",
        lr_warmup: float = 0.0,
    ) -> None:
        super().__init__(iterations=epochs, lr_schedule=lr_schedule, lr_warmup=lr_warmup)
        self.model, self.make_optimizer, self.heldout = model, make_optimizer, heldout
        self.margin, self.centering = margin, centering

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return with_initial_lr(self.make_optimizer(self.model.parameters()))

    def scores(self, batch: PreferenceBatch) -> tuple[Tensor, Tensor]:
        return self.model.score(batch.chosen, batch.chosen_mask), self.model.score(
            batch.rejected, batch.rejected_mask
        )

    def loss(self, chosen: Tensor, rejected: Tensor, batch: PreferenceBatch) -> Tensor:
        return bradley_terry(
            chosen, rejected, batch.margin if self.margin else None, centering=self.centering
        )

    def training_step(self, batch: PreferenceBatch, batch_idx: int) -> Tensor:
        chosen, rejected = self.scores(batch)
        loss = self.loss(chosen, rejected, batch)
        self.log_step(loss=loss, accuracy=(chosen > rejected).float().mean())
        return loss

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """On held-out pairs: loss, accuracy (share with the chosen one scored higher) and
        calibration error."""
        losses, gaps = [], []
        for batch in self.heldout():
            batch = batch.to(self.device)
            chosen, rejected = self.scores(batch)
            losses.append(self.loss(chosen, rejected, batch) * len(chosen))
            gaps.append(chosen - rejected)
        if not gaps:
            return {}
        gap = torch.cat(gaps)
        return {
            "val/loss": float(torch.stack(losses).sum()) / len(gap),
            "val/accuracy": float((gap > 0).float().mean()),
            "val/calibration_error": calibration_error(gap),
        }

    def initial_record(self) -> Metrics:
        return self.evaluate()

    def finish_iteration(self) -> Metrics:
        means = self.step_means()
        return {"train/loss": means["loss"], "train/accuracy": means["accuracy"], **self.evaluate()}


def calibration_error(gap: Tensor) -> float:
    """Expected calibration error of p = sigmoid(|gap|) for "the higher scored one was chosen"; gap
    = r_chosen - r_rejected [N].

    sum over 10 equal bins of p in [1/2, 1] of (share of pairs) * |accuracy - mean p| (Guo et al.
    2017, arXiv 1706.04599).
    """
    confidence, right = torch.sigmoid(gap.abs()), (gap > 0).float()
    bins = ((confidence - 0.5) * 2 * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    error = 0.0
    for b in range(CALIBRATION_BINS):
        here = bins == b
        if here.any():
            error += float(
                here.float().mean() * (right[here].mean() - confidence[here].mean()).abs()
            )
    return error
