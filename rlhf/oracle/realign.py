"""The mixtures of a reference and a policy, exactly: of whole responses, and of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rlhf.oracle.exact import exact_sequence_kl
from rlhf.oracle.measure import check_normalised, mean_standing, standings


def sequence_mixture(ref_logp: Tensor, logp: Tensor, weight: float) -> Tensor:
    """log of ref(y)^(1 - lambda) pi(y)^lambda / Z over whole responses: [..., N] -> [..., N].

    For pi the optimum at beta it is the optimum at beta / lambda (arXiv 2402.02992, Eq. 8).
    """
    mixed = _mixed(ref_logp.double(), logp.double(), weight)
    return mixed - mixed.logsumexp(dim=-1, keepdim=True)


def token_mixture(
    ref_logp: Tensor, logp: Tensor, tokens: Tensor, mask: Tensor, weight: float
) -> Tensor:
    """log-probability of each response where every token is drawn from the mixture of both
    policies' next tokens: ref_logp, logp [X, N] of all responses tokens, mask [N, T] (as
    `enumerate_responses` lists them) -> [X, N].

        p(y) = prod_t ref(y_t | y_<t)^(1 - lambda) pi(y_t | y_<t)^lambda / Z(y_<t)

    The next tokens' probabilities are those of the tree of prefixes: the mass of all responses that
    begin with y_<=t over that of all that begin with y_<t.
    """
    total = torch.zeros_like(ref_logp.double())
    above = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
    masses = [_mass(x.double(), above) for x in (ref_logp, logp)]
    for depth in range(1, tokens.shape[1] + 1):
        # a response that is shorter goes on as itself, with probability 1
        begun = torch.where(mask[:, :depth], tokens[:, :depth], -1)
        prefixes, here = begun.unique(dim=0, return_inverse=True)
        parent = above.new_zeros(len(prefixes)).scatter_(0, here, above)
        below = [_mass(x.double(), here) for x in (ref_logp, logp)]
        next_token = [
            _difference(child, mass[..., parent]) for child, mass in zip(below, masses, strict=True)
        ]
        mixed = _mixed(next_token[0], next_token[1], weight)
        own = _difference(mixed, _mass(mixed, parent)[..., parent])
        total, above, masses = total + own[..., here], here, below
    return total


def realignment(
    ref_logp: Tensor,
    logp: Tensor,
    reward: Tensor,
    tokens: Tensor,
    mask: Tensor,
    *,
    beta: float,
    weights: Sequence[float],
) -> list[dict[str, Any]]:
    """For each lambda > 0 where the mixtures stand at beta / lambda, the coefficient whose optimum
    they would be if pi were that at beta: `lambda`, `beta`, `sequence` and `token` (the mean over
    prompts of rlhf.oracle.measure.Standing), and `apart`, KL(token || sequence) in nats. ref_logp,
    logp, reward [X, N].

    Raises:
        ValueError: a lambda is not above 0, or the responses are not all there are.
    """
    for each in (ref_logp, logp):
        check_normalised(each)
    rows = []
    for weight in weights:
        if not weight > 0:
            raise ValueError(f"lambda {weight}: beta / lambda needs one above 0")
        mixtures = {
            "sequence": sequence_mixture(ref_logp, logp, weight),
            "token": token_mixture(ref_logp, logp, tokens, mask, weight),
        }
        ref, worth = ref_logp.double(), reward.double()
        own = {
            name: mean_standing(standings(mixed, ref, worth, beta / weight)).as_dict()
            for name, mixed in mixtures.items()
        }
        apart = float(exact_sequence_kl(mixtures["token"], mixtures["sequence"]).mean())
        rows.append({"lambda": weight, "beta": beta / weight, **own, "apart": apart})
    return rows


def _mixed(ref: Tensor, own: Tensor, weight: float) -> Tensor:
    """(1 - lambda) ref + lambda own; -inf where either is, but for a lambda of 0 or 1."""
    if weight in (0.0, 1.0):
        return own if weight else ref
    excluded = (ref == -torch.inf) | (own == -torch.inf)
    return torch.lerp(ref, own, weight).masked_fill(excluded, -torch.inf)


def _difference(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(x > -torch.inf, x - y, -torch.inf)


def _mass(x: Tensor, group: Tensor) -> Tensor:
    """log of the sum of exp(x) over each group: [..., N], group [N] -> [..., groups]."""
    shape, count = x.shape[:-1], int(group.max()) + 1
    index = group.expand(*shape, -1)
    most = x.new_full((*shape, count), -torch.inf).scatter_reduce(-1, index, x, "amax")
    most = most.masked_fill(most == -torch.inf, 0.0)
    sums = torch.zeros_like(most).scatter_add(-1, index, (x - most.gather(-1, index)).exp())
    return sums.log() + most
