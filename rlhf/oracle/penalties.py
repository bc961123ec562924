"""The expected gradient of a KL penalty on a table, exactly: which estimator, where, and with which
ratio to the policy that drew the responses.

Every response weighs the probability that `old` draws it with, rho = pi / old, d = logp - ref_logp
of a token, D of a response. Coefficient 1, gamma = lam = 1, nothing whitened or clipped.

    reward         E_old[sum_t w_t (sum_{s>=t} k(d_s of old)) grad logp_t]
    loss           E_old[sum_t grad (w_t k(d_t))]
    sequence_loss  E_old[grad (w k(D))]

w is 1 (`none`), rho as a number (`detached`: rho grad k) or rho with its own gradient
(`differentiated`: grad (rho k) = rho (k + k') grad logp). In the reward the estimate is made once,
by the policy that drew the responses, as PPO makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from rlhf.arguments import one_of
from rlhf.functional.masking import masked_fill_zero, masked_sum
from rlhf.functional.vocabulary import kl_of
from rlhf.oracle.exact import exact_sequence_kl, expected, objective
from rlhf.oracle.tables import Tree

Estimate = Callable[[Tensor, Tensor], Tensor]  # rlhf.functional.kl: logp, ref_logp -> nats
Place = Literal["reward", "loss", "sequence_loss"]
Ratio = Literal["none", "detached", "differentiated"]


def penalty_gradient(
    tree: Tree,
    table: Tensor,
    ref: Tensor,
    estimate: Estimate,
    place: Place,
    *,
    old: Tensor | None = None,
    ratio: Ratio = "detached",
) -> Tensor:
    """The expected gradient of the penalty with respect to the table, [S, V]: what a step descends.
    `old` (None: the policy itself) drew the responses."""
    one_of("place", place, get_args(Place))
    one_of("ratio", ratio, get_args(Ratio))
    before = (table if old is None else old).detach()
    table = table.detach().clone().requires_grad_()
    logp, ref_logp, old_logp = tree.logp(table), tree.logp(ref).detach(), tree.logp(before)
    mask = tree.mask
    if place == "sequence_loss":
        logp, ref_logp, old_logp = (
            masked_sum(x, mask, dim=-1).unsqueeze(-1) for x in (logp, ref_logp, old_logp)
        )
        mask = mask[:, :1]
    weight = _weights(logp, old_logp, ratio)
    if place == "reward":
        kl = masked_fill_zero(estimate(old_logp, ref_logp), mask)
        terms = weight.detach() * _to_go(kl) * logp
    else:
        terms = weight * estimate(logp, ref_logp)
    drawn = tree.sequence_logp(before)
    return _gradient(expected(masked_sum(terms, mask, dim=-1), drawn), table)


def kl_gradient(tree: Tree, table: Tensor, ref: Tensor, *, forward: bool = False) -> Tensor:
    """The gradient of KL(pi || ref) of the responses, [S, V]; `forward`: of KL(ref || pi)."""
    table = table.detach().clone().requires_grad_()
    logp, ref_logp = tree.sequence_logp(table), tree.sequence_logp(ref)
    kl = exact_sequence_kl(ref_logp, logp) if forward else exact_sequence_kl(logp, ref_logp)
    return _gradient(kl, table)


def token_kl_gradient(
    tree: Tree, table: Tensor, ref: Tensor, *, old: Tensor | None = None, forward: bool = False
) -> Tensor:
    """The gradient of E_old[sum_t KL_t], the prefixes held where `old` (None: the policy) draws
    them, so that the KL which a token causes later is left out. [S, V]"""
    before = (table if old is None else old).detach()
    table = table.detach().clone().requires_grad_()
    pi, of_ref = tree.logits(table), tree.logits(ref)
    kl = kl_of(of_ref, pi, 1.0) if forward else kl_of(pi, of_ref, 1.0)
    return _gradient(expected(masked_sum(kl, tree.mask, dim=-1), tree.sequence_logp(before)), table)


def objective_gradient(
    tree: Tree, table: Tensor, ref: Tensor, reward: Tensor, beta: float
) -> Tensor:
    """The gradient of J = E[r] - beta KL(pi || ref): reward [N] -> [S, V]. At beta = 0 that of
    the reward alone."""
    table = table.detach().clone().requires_grad_()
    logp, ref_logp = tree.sequence_logp(table), tree.sequence_logp(ref)
    return _gradient(objective(reward, logp, ref_logp, beta), table)


def _weights(logp: Tensor, old_logp: Tensor, ratio: Ratio) -> Tensor:
    if ratio == "none":
        return torch.ones_like(logp)
    rho = (logp - old_logp).exp()
    return rho.detach() if ratio == "detached" else rho


def _to_go(x: Tensor) -> Tensor:
    """sum_{s>=t} x_s: [N, T] -> [N, T]"""
    return x.flip(-1).cumsum(-1).flip(-1)


def _gradient(value: Tensor, table: Tensor) -> Tensor:
    return torch.autograd.grad(value, table)[0]
