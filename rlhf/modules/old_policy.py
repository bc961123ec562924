"""The policy that drew a rollout: who computes its log-probabilities, and how far from it the
optimizer steps are."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.functional.masking import masked_sum
from rlhf.functional.pooling import Mean
from rlhf.kl.penalty import KLPenalty
from rlhf.models.policy import PolicyReader
from rlhf.modules.parts import OnlineSettings
from rlhf.modules.trust_region import local_kl
from rlhf.ranks.group import Ranks
from rlhf.rollout.probe import gap_metrics
from rlhf.types import Minibatch, Rollout, TokenView


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


@torch.no_grad()
def old_view(
    rollout: Rollout, policy: PolicyReader, reference: PolicyReader, *, again: bool
) -> TokenView:
    """Policy and reference at each token of a rollout. `again`: the policy reads it too; else it is
    as the sampler had it, and the reference alone has a forward pass."""
    if again:
        return policy.view(reference, rollout)
    assert rollout.entropy is not None
    ref_logp = reference.logp(rollout)
    return TokenView(logp=rollout.logp, ref_logp=ref_logp, entropy=rollout.entropy, exact_kl=None)


class Drift:
    """How far the policy is from the one that drew its rollout, as the optimizer steps see it: by
    the log-probabilities that each computes before it moves a weight. Of one iteration.

    `sampled`: the old log-probabilities are the sampler's. Then those that the first step computes,
    of the same weights, say how far the two are apart.
    """

    def __init__(self, ranks: Ranks, *, sampled: bool) -> None:
        self.ranks = ranks
        self._kl = Mean(0.0, 0)  # over the tokens of the inner epoch under way
        self._epoch = 0
        self._gaps: list[Tensor] = []  # the largest of each micro-batch of the first step
        self._at_start = sampled
        self._summed: list[Tensor] = []  # over the tokens of each micro-batch of the step under way

    def add(self, batch: Minibatch, logp: Tensor) -> float | None:
        """A micro-batch and what its loss read, [B, T]. Gives the local KL of its whole step, over
        all ranks, with the step's last micro-batch."""
        old = batch.experience
        if self._at_start:
            gap = (old.rollout.logp - logp).masked_fill(~old.mask, 0.0)
            self._gaps.append(gap.abs().max())
        self._summed.append(local_kl(logp, old.logp, old.mask, reduce=masked_sum).double())
        if len(self._summed) < batch.splits:
            return None
        summed = self.ranks.sum([float(sum(self._summed))])[0]
        self._summed, self._at_start = [], False
        if batch.epoch != self._epoch:
            self._epoch, self._kl = batch.epoch, Mean(0.0, 0)
        self._kl += Mean(summed, batch.step_tokens)
        return summed / max(batch.step_tokens, 1)

    def metrics(self) -> dict[str, float]:
        """`trust_region/kl`: KL(pi_old || pi) in nats per token over the steps of the last inner
        epoch; and `rollout/logp_gap` where the first step tells it."""
        metrics = {"trust_region/kl": float(self._kl)}
        if self._gaps:
            largest = float(torch.stack(self._gaps).max())  # NaN where one is
            metrics |= gap_metrics(self.ranks.largest([largest])[0])
        return metrics
