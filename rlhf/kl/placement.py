"""Where the penalty acts: in the token rewards, in the loss (token by token or of the whole
response), or (exact only) in both. What each descends: rlhf.kl.properties."""

from __future__ import annotations

from torch import Tensor

from rlhf.functional.kl import LOG_RATIO_CLAMP
from rlhf.functional.losses import probability_ratio
from rlhf.functional.masking import masked_sum
from rlhf.kl.properties import PLACEMENTS, PlacementProperties


class Placement:
    """A name for a place: all that is known of it are its properties."""

    properties: PlacementProperties


class Reward(Placement):
    """-coef * kl_t is added to the reward of token t. Descends (k1): the sequence KL, exactly."""

    properties = PLACEMENTS["reward"]


class Loss(Placement):
    """coef * rho_t * kl_t is added to the loss. Descends (k2): the KL of each token, without the
    KL that it causes later."""

    properties = PLACEMENTS["loss"]


class LossWithoutRatio(Placement):
    """coef * kl_t is added to the loss, as GRPO has it (arXiv 2402.03300). On policy it is `Loss`.

    Off policy E_old[grad kl_t] is no gradient of a divergence of pi: a token that pi made rarer
    counts as often as pi_old drew it (arXiv 2505.17508).
    """

    properties = PLACEMENTS["loss_without_ratio"]


class SequenceLoss(Placement):
    """coef * rho * kl(D) is added to the loss, D = sum_t d_t. Descends (k2, D^2 / 2): the sequence
    KL, exactly.

    E_pi[grad D^2 / 2] = E_pi[D grad log pi(y)], the gradient of E_pi[D]; the one on tokens drops
    all pairs t < s of d_s grad logp_t (CORRECTNESS 7). The price is variance: d_s of earlier tokens
    s < t multiplies grad logp_t too, which is noise, no value model lowers it, and rho = pi(y) /
    pi_old(y) is that of the whole response (CORRECTNESS 8), whose spread grows with its length.
    """

    properties = PLACEMENTS["sequence_loss"]


class Both(Placement):
    """coef * kl_t in the loss for the own term, -coef * kl_t in the token rewards for the future's
    (CORRECTNESS 66).

    The reward of token t holds KL_t itself too. KL_t is a function of the prefix alone, so it is a
    baseline to token t's gradient: it changes no expectation, the value model can absorb it, and
    the shaped rewards still add up to score - coef * KL. Descends (exact): the sequence KL,
    exactly.
    """

    properties = PLACEMENTS["both"]


def token_weights(logp: Tensor, old_logp: Tensor, mask: Tensor) -> Tensor:
    """rho_t = exp(logp - old_logp) [B, T] without gradient: what a sampled estimate of a token
    weighs in the loss.

    The tokens come from pi_old. E_old[rho_t grad kl_t] = E_pi[grad kl_t] at each prefix, so the
    gradient stays the on-policy one when pi has moved. The exact KL depends on the prefix alone and
    needs no weight. The prefixes stay pi_old's: PPO's own approximation.
    """
    return probability_ratio(logp, old_logp, mask).detach()


def sequence_weights(logp: Tensor, old_logp: Tensor, mask: Tensor) -> Tensor:
    """rho = pi(y) / pi_old(y) [B, 1] without gradient, log rho clamped to +-20.

    E_old[rho grad kl(D)] = E_pi[grad kl(D)], prefixes included.
    """
    moved = masked_sum(logp - old_logp.detach(), mask, dim=-1)
    return moved.clamp(-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP).exp().detach().unsqueeze(-1)


def share_over_tokens(value: Tensor, mask: Tensor) -> Tensor:
    """One value of each response as equal parts on its tokens: [B] -> [B, T], which add up to it
    over the mask; 0 where masked."""
    share = value / mask.sum(dim=-1).clamp(min=1)
    return share.unsqueeze(-1) * mask
