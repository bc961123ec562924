"""Where the penalty acts: in the token rewards, in the loss, or (exact only) in both.

What each descends, for tokens drawn from pi, d = logp - ref_logp, rewards with gamma = lam = 1 and unwhitened.
"KL" is KL(pi || ref) and "forward KL" is KL(ref || pi).

In the reward, the gradient is E[sum_t (sum_{s>=t} kl_s) grad logp_t]:
  k1          the sequence KL: its true gradient
  k2          the score-function part of E[d^2 / 2] only; weak near ref, where d^2 is small
  k3          for one-token responses KL minus forward KL: near ref the two gradients cancel, so it hardly holds there
  abs         the score-function part of E[|d|] only
  k1_clamped  the score-function part of E[max(d, 0)] only (AlpacaFarm's, kept for parity)
In the loss, the gradient is E[sum_t grad kl_t], each token by itself: the KL that a token causes later is dropped:
  k1          nothing, E[grad d] = 0 (refused)
  k2          the KL of each token
  k3          the forward KL of each token
  abs         twice the total variation of each token
  k1_clamped  the total variation of each token (refused: its coefficient would mean something else than in the reward)
In both:
  exact       the sequence KL: its own term in the loss and the future's in the reward are together the true gradient
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rlhf.functional.losses import probability_ratio


class Placement(Protocol):
    @property
    def in_reward(self) -> bool: ...

    @property
    def in_loss(self) -> bool: ...


class Reward:
    """-coef * kl_t is added to the reward of token t."""

    in_reward = True
    in_loss = False


class Loss:
    """coef * rho_t * kl_t is added to the loss."""

    in_reward = False
    in_loss = True


class Both:
    """coef * kl_t in the loss for the own term, -coef * kl_t in the token rewards for the future's (CORRECTNESS 66).

    The reward of token t holds KL_t itself too. KL_t is a function of the prefix alone, so it is a baseline to token t's gradient:
    it changes no expectation, the value model can absorb it, and the shaped rewards still add up to score - coef * KL.
    """

    in_reward = True
    in_loss = True


def loss_terms(kl: Tensor, logp: Tensor, old_logp: Tensor, mask: Tensor, *, sampled: bool) -> Tensor:
    """rho * kl [B, T], rho = exp(logp - old_logp) without gradient for a sampled estimate; kl itself for the exact one.

    The tokens come from pi_old. E_old[rho_t grad kl_t] = E_pi[grad kl_t] at each prefix, so the gradient stays the on-policy one when
    pi has moved. The exact KL depends on the prefix alone and needs no weight. The prefixes stay pi_old's: PPO's own approximation.
    """
    return probability_ratio(logp, old_logp, mask).detach() * kl if sampled else kl
