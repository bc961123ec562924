"""The policy gradient without a value model: REINFORCE, RLOO and GRPO's family. They differ in
their advantages, in how token losses become one number and in their KL, which
conf/algorithm/<name>.yaml chooses; the loss is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from rlhf.functional.losses import clipped_policy_loss, clipped_tokens, policy_gradient_loss
from rlhf.functional.masking import Reduce
from rlhf.functional.pooling import Mean
from rlhf.modules.online import OnlineModule
from rlhf.modules.parts import Losses
from rlhf.types import Minibatch


class PolicyGradient(OnlineModule):
    """-A log pi with `ratio=none`, PPO's clipped -A rho with `ratio=clipped`: between 1 -
    ppo.policy_clip and 1 + `clip_high` (None: ppo.policy_clip too).

    At the first step on a rollout, where rho = 1, both have one gradient. What the clip changes is
    how far later steps go.
    """

    def __init__(
        self, *, ratio: Literal["none", "clipped"], clip_high: float | None, **live: Any
    ) -> None:
        super().__init__(**live)
        below, self.clip = self.settings.policy_clip, None
        if ratio == "clipped":
            self.clip = (below, below if clip_high is None else clip_high)

    def loss(self, batch: Minibatch, reduce: Reduce) -> Losses:
        """policy_loss + KL's term + trust region's - entropy bonus."""
        old, clip = batch.experience, self.clip
        read, mask = self.read(old.rollout), old.mask
        if clip is None:
            policy_loss = policy_gradient_loss(read.logp, old.advantages, mask, reduce)
            return self.with_limits(policy_loss, read, batch, reduce)
        policy_loss = clipped_policy_loss(
            read.logp, old.logp, old.advantages, mask, clip, reduce=reduce
        )
        losses = self.with_limits(policy_loss, read, batch, reduce)
        clipped = clipped_tokens(losses.logp, old.logp, old.advantages, mask, clip)
        return replace(losses, means={"clip_fraction": Mean.of(clipped, mask)} | losses.means)


class Reinforce(PolicyGradient):
    """REINFORCE (Williams 1992), a whole response being one action (arXiv 2402.14740)."""


class RLOO(PolicyGradient):
    """REINFORCE leave-one-out (arXiv 2402.14740)."""


class GRPO(PolicyGradient):
    """Group relative policy optimisation (arXiv 2402.03300)."""


class DrGRPO(GRPO):
    """GRPO done right (arXiv 2503.20783): without its two divisions, by std and by length."""


class DAPO(GRPO):
    """DAPO (arXiv 2503.14476): the clip higher above than below, token by token, without a KL."""
