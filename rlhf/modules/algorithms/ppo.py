"""PPO under a global KL penalty to a reference policy (InstructGPT, arXiv 2203.02155;
AlpacaFarm, arXiv 2305.14387)."""

from __future__ import annotations

from dataclasses import replace

from rlhf.functional.losses import (
    clipped_policy_loss,
    clipped_tokens,
    clipped_value_loss,
)
from rlhf.functional.masking import Reduce
from rlhf.functional.pooling import Mean
from rlhf.modules.online import OnlineModule
from rlhf.modules.parts import Losses
from rlhf.types import Minibatch


class PPOModule(OnlineModule):
    """The clipped policy loss with the KL's and the trust region's terms, and the clipped value
    loss where the advantage needs values."""

    needs_values = True

    def loss(self, batch: Minibatch, reduce: Reduce) -> Losses:
        """policy_loss + KL's term + trust region's - entropy bonus + value_coef * value_loss."""
        settings, old = self.settings, batch.experience
        rollout, mask = old.rollout, old.mask
        read = self.read(rollout)
        # the clipped surrogate: arXiv 1707.06347, Eq. 7
        policy_loss = clipped_policy_loss(
            read.logp, old.logp, old.advantages, mask, settings.policy_clip, reduce=reduce
        )
        # the KL to the reference stands in the rewards, as in InstructGPT (Eq. 2), or here
        actor = self.with_limits(policy_loss, read, batch, reduce)
        clipped = clipped_tokens(actor.logp, old.logp, old.advantages, mask, settings.policy_clip)
        means = {"clip_fraction": Mean.of(clipped, mask)} | actor.means
        if self.value_model is None:
            return replace(actor, means=means)
        assert old.values is not None and old.returns is not None
        values = self.value_model.values(rollout.sequence, rollout.attention, mask.shape[1])
        # clipped around the old values as the ratio is around 1 (openai/baselines, ppo2)
        value_loss = clipped_value_loss(
            values, old.values, old.returns, mask, settings.value_clip, reduce=reduce
        )
        policy_total = (
            actor.total.detach() if self.iteration < settings.critic_warmup else actor.total
        )
        return replace(
            actor,
            total=policy_total + settings.value_coef * value_loss,
            terms={"value_loss": value_loss} | actor.terms,
            means=means,
        )
