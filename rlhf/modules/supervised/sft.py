"""Supervised fine-tuning: maximise log pi(completion | prompt)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from rlhf.functional.masking import masked_mean
from rlhf.functional.pooling import Mean, pooled
from rlhf.functional.vocabulary import read
from rlhf.models.networks import Policy
from rlhf.models.packing.read import logits_at, spread
from rlhf.modules.base import Metrics
from rlhf.modules.supervised.base import SupervisedModule
from rlhf.ranks.numbers import means_of_all
from rlhf.types import DemonstrationBatch


class SFTModule(SupervisedModule):
    """The loss is the mean over counted tokens of -log pi; perplexity is exp of it on the
    held-out rows."""

    stage = "sft"
    model: Policy

    def nll(self, batch: DemonstrationBatch) -> Tensor:
        """Mean over the counted tokens."""
        return masked_mean(token_losses(self.model, batch), batch.loss_mask[:, 1:])

    def training_step(self, batch: DemonstrationBatch, batch_idx: int) -> Tensor:
        with self.forward_pass():
            loss = self.nll(batch)
        self.log_step(loss=Mean.over(loss, batch.counted))
        return self.share(loss, batch)

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """Held-out loss in nats per token, weighted by tokens, and perplexity = exp(loss)."""
        own = [Mean.over(self.nll(b), b.counted * counts) for b, counts in self.own_heldout()]
        mean = means_of_all(self.ranks, {"loss": pooled(own)})["loss"]
        if not float(mean.count):
            return {}
        loss = float(mean)
        return {"val/loss": loss, "val/perplexity": math.exp(min(loss, 80.0))}


def token_losses(model: Policy, batch: DemonstrationBatch) -> Tensor:
    """-log pi of the counted tokens [B, L - 1], 0 elsewhere, with its gradient; each token is
    predicted from the ones before it."""
    labels, mask = batch.tokens[:, 1:], batch.loss_mask[:, 1:]
    keep = F.pad(mask, (0, 1), value=False)  # the positions before them
    logits = logits_at(model, batch.tokens, batch.attention, keep)
    return spread(-read(logits, labels[mask], used_up=True).logp, mask)
