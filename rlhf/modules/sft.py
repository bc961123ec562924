"""Supervised fine-tuning: maximise log pi(completion | prompt)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf.functional.losses import token_nll
from rlhf.models.policy import response_logits
from rlhf.modules.base import Metrics, StageModule, with_initial_lr
from rlhf.types import DemonstrationBatch

MakeOptimizer = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]


class SFTModule(StageModule):
    """The loss is the mean over counted tokens of -log pi; perplexity is exp of it on the
    held-out rows."""

    stage = "sft"
    unit = "epoch"

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        make_optimizer: MakeOptimizer,
        heldout: Callable[[], Iterable[DemonstrationBatch]],
        epochs: int,
        lr_schedule: str = "constant",
        lr_warmup: float = 0.0,
    ) -> None:
        super().__init__(iterations=epochs, lr_schedule=lr_schedule, lr_warmup=lr_warmup)
        self.model, self.make_optimizer, self.heldout = model, make_optimizer, heldout

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return with_initial_lr(self.make_optimizer(self.model.parameters()))

    def nll(self, batch: DemonstrationBatch) -> Tensor:
        """Mean over the counted tokens; each is predicted from the ones before it."""
        labels, mask = batch.tokens[:, 1:], batch.loss_mask[:, 1:]
        logits = response_logits(self.model, batch.tokens, batch.attention, labels.shape[1])
        return token_nll(logits, labels, mask)

    def training_step(self, batch: DemonstrationBatch, batch_idx: int) -> Tensor:
        loss = self.nll(batch)
        self.log_step(loss=loss)
        return loss

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """Held-out loss in nats per token, weighted by tokens, and perplexity = exp(loss)."""
        total = tokens = 0.0
        for batch in self.heldout():
            batch = batch.to(self.device)
            counted = float(batch.loss_mask[:, 1:].sum())
            total += float(self.nll(batch)) * counted
            tokens += counted
        loss = total / tokens if tokens else math.nan
        return {"val/loss": loss, "val/perplexity": math.exp(min(loss, 80.0))}

    def initial_record(self) -> Metrics:
        return self.evaluate()

    def finish_iteration(self) -> Metrics:
        return {"train/loss": self.step_means()["loss"], **self.evaluate()}
