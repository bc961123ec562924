"""The policy that drew a rollout: who computes its log-probabilities, and how far from it the
optimizer steps are."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.functional.masking import masked_sum
from rlhf.functional.pooling import Mean
from rlhf.kl.penalty import KLPenalty
from rlhf.modules.parts import OnlineSettings
from rlhf.modules.trust_region import local_kl
from rlhf.ranks.group import Ranks
from rlhf.types import Minibatch, Rollout


def is_recomputed(
    rollout: Rollout, settings: OnlineSettings, kl: KLPenalty, dtype: torch.dtype
) -> bool:
    """Whether the policy reads its rollout again (ppo.old_logp=recomputed), which costs a forward
    pass over all of it: False where the sampler's numbers are all that is asked for.

    Not those of a distribution that top-k or top-p cut, of 16 bits (`dtype` is what a forward pass
    computes in: there a token by itself is rounded otherwise than in its sequence), and of a
    rollout that nobody drew; and no sampler knows the exact KL.
    """
    sampling = settings.sampling
    return (
        settings.old_logp == "recomputed"
        or sampling.top_k > 0
        or sampling.top_p < 1.0
        or dtype.itemsize < 4
        or rollout.entropy is None
        or kl.needs_exact
    )


class Drift:
    """How far the policy is from the one that drew its rollout, as the optimizer steps see it: by
    the log-probabilities that each computes before it moves a weight. Of one iteration."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        # KL(pi_old || pi) in nats per token, over the steps of the inner epoch under way
        self.local_kl = Mean(0.0, 0)
        # the largest |log-probability at sampling - computed| of a token of the first step, when
        # both are the same policy's
        self.gap: Tensor | None = None
        self._epoch = 0
        self._first = True
        self._summed: list[Tensor] = []  # over the tokens of each micro-batch of the step under way

    def add(self, batch: Minibatch, logp: Tensor) -> float | None:
        """A micro-batch and what its loss read, [B, T]. Gives the local KL of its whole step, over
        all ranks, with the step's last micro-batch."""
        old = batch.experience
        if self._first:
            gap = (old.rollout.logp - logp).masked_fill(~old.mask, 0.0).abs().max()
            self.gap = gap if self.gap is None else torch.maximum(self.gap, gap)
        self._summed.append(local_kl(logp, old.logp, old.mask, reduce=masked_sum).double())
        if len(self._summed) < batch.splits:
            return None
        summed = self.ranks.sum([float(sum(self._summed))])[0]
        self._summed, self._first = [], False
        if batch.epoch != self._epoch:
            self._epoch, self.local_kl = batch.epoch, Mean(0.0, 0)
        self.local_kl += Mean(summed, batch.step_tokens)
        return summed / max(batch.step_tokens, 1)

    def largest_gap(self) -> float:
        """`gap` over all ranks, in nats; NaN where one is."""
        assert self.gap is not None
        return self.ranks.largest([float(self.gap)])[0]
