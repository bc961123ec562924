"""Claims of the field about KL gradients, to rounding: docs/records/claims. On tables of 4 tokens
(the last ends), T = 1 and T = 3; `moved` is another policy than the one that drew the responses."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rlhf.functional.kl import k1, k2, k3
from rlhf.oracle.exact import objective
from rlhf.oracle.penalties import (
    kl_gradient,
    objective_gradient,
    penalty_gradient,
    token_kl_gradient,
)
from rlhf.oracle.tables import Tree, prefix_tree

LENGTHS = [1, 3]


@dataclass(frozen=True)
class Problem:
    tree: Tree
    ref: Tensor
    table: Tensor
    old: Tensor  # a local step away from the policy
    reward: Tensor

    def gradient(self, estimate, place, **more):
        return penalty_gradient(self.tree, self.table, self.ref, estimate, place, **more)


def problem(length, seed=0, move=0.7, step=0.2):
    tree, generator = prefix_tree(4, 3, length), torch.Generator().manual_seed(seed)
    ref, away, back = (
        torch.randn(tree.rows, 4, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    reward = torch.randn(len(tree.tokens), generator=generator, dtype=torch.float64)
    table = ref + move * away
    return Problem(tree=tree, ref=ref, table=table, old=table + step * back, reward=reward)


def error(ours, true):
    return float((ours - true).norm() / true.norm())


def same(ours, true):
    torch.testing.assert_close(ours, true, atol=1e-12, rtol=1e-10)


# --- k2 as a loss and k1 in the reward (2510.01555)


@pytest.mark.parametrize("length", LENGTHS)
def test_grad_reward_vs_loss_k1_in_reward_and_k2_of_responses_agree(length):
    p = problem(length)
    true = kl_gradient(p.tree, p.table, p.ref)
    same(p.gradient(k1, "reward"), true)
    same(p.gradient(k2, "sequence_loss"), true)


def test_grad_reward_vs_loss_k2_of_tokens_agrees_for_one_token_alone():
    one, three = problem(1), problem(3)
    same(one.gradient(k2, "loss"), one.gradient(k1, "reward"))
    assert error(three.gradient(k2, "loss"), three.gradient(k1, "reward")) > 0.05
    same(three.gradient(k2, "loss"), token_kl_gradient(three.tree, three.table, three.ref))


# --- rho k3 (2512.02556)


@pytest.mark.parametrize("length", LENGTHS)
def test_off_policy_kl_rho_k3_is_rho_k2_in_every_response(length):
    """grad (rho k3) = rho (k3 + k3') grad logp = rho d grad logp: not in expectation alone, but
    for each response by itself. And rho k1 is the same in expectation."""
    p = problem(length)
    theirs = p.gradient(k3, "loss", old=p.old, ratio="differentiated")
    same(theirs, p.gradient(k2, "loss", old=p.old, ratio="detached"))
    same(theirs, p.gradient(k1, "loss", old=p.old, ratio="differentiated"))
    same(theirs, token_kl_gradient(p.tree, p.table, p.ref, old=p.old))
    table = p.table.clone().requires_grad_()
    logp, ref_logp, old = p.tree.logp(table), p.tree.logp(p.ref), p.tree.logp(p.old)
    rho = (logp - old).exp()
    for row in range(0, len(logp), 7):
        one, other = (
            torch.autograd.grad((x[row] * p.tree.mask[row]).sum(), table, retain_graph=True)[0]
            for x in (rho * k3(logp, ref_logp), rho.detach() * k2(logp, ref_logp))
        )
        same(one, other)


@pytest.mark.parametrize("length", LENGTHS)
def test_off_policy_kl_rho_k3_of_responses_is_right(length):
    """Of a whole response, rho that of the response: the gradient of the sequence KL at any
    length. Of tokens it misses the later KL, and where the old policy was."""
    p = problem(length)
    true = kl_gradient(p.tree, p.table, p.ref)
    same(p.gradient(k3, "sequence_loss", old=p.old, ratio="differentiated"), true)
    of_tokens = error(p.gradient(k3, "loss", old=p.old, ratio="differentiated"), true)
    assert of_tokens < 1e-9 if length == 1 else of_tokens > 0.05


# --- k3 in the reward (2512.21852)


@pytest.mark.parametrize("length", LENGTHS)
def test_k3_in_the_reward_descends_the_kl_and_climbs_the_forward_kl_of_tokens(length):
    p = problem(length)
    climbed = token_kl_gradient(p.tree, p.table, p.ref, forward=True)
    same(p.gradient(k3, "reward"), kl_gradient(p.tree, p.table, p.ref) - climbed)


@pytest.mark.parametrize("length", LENGTHS)
def test_k3_in_the_reward_has_no_first_order_force(length):
    """Ten times nearer to the reference the KL's gradient is a tenth and its own a hundredth."""
    norms = []
    for move in (1e-2, 1e-3):
        p = problem(length, move=move)
        norms.append(
            [
                float(x.norm())
                for x in (kl_gradient(p.tree, p.table, p.ref), p.gradient(k3, "reward"))
            ]
        )
    (kl_far, own_far), (kl_near, own_near) = norms
    assert kl_far / kl_near == pytest.approx(10, rel=0.1)
    assert own_far / own_near == pytest.approx(100, rel=0.2)


def test_k3_in_the_reward_pays_for_running_away():
    """One token of two, reference 1/2 each: the potential KL - forward KL falls without end as
    the policy p of one of them goes to 1, so the penalty rewards distance."""

    def potential(p):
        p = torch.tensor([p, 1 - p], dtype=torch.float64)
        half = torch.full((2,), 0.5, dtype=torch.float64)
        return float((p * (p / half).log()).sum() - (half * (half / p).log()).sum())

    assert potential(0.5) == 0
    values = [potential(p) for p in (0.6, 0.9, 0.99, 0.999999)]
    assert values == sorted(values, reverse=True) and values[-1] < -5


# --- the ratio that GRPO's k3 lacks (2505.17508)


@pytest.mark.parametrize("length", LENGTHS)
def test_off_policy_kl_grpos_missing_ratio_is_nothing_until_the_policy_moves(length):
    p = problem(length, step=0.0)
    same(
        p.gradient(k3, "loss", old=p.old, ratio="none"),
        p.gradient(k3, "loss", old=p.old, ratio="detached"),
    )


@pytest.mark.parametrize("length", LENGTHS)
def test_off_policy_kl_grpos_missing_ratio_grows_with_the_move(length):
    """The error is of the first order in the move, and so in the root of the local KL."""
    errors = []
    for step in (1e-2, 1e-3):
        p = problem(length, step=step)
        right = p.gradient(k3, "loss", old=p.old, ratio="detached")
        errors.append(error(p.gradient(k3, "loss", old=p.old, ratio="none"), right))
        same(right, token_kl_gradient(p.tree, p.table, p.ref, old=p.old, forward=True))
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)


# --- the whole


@pytest.mark.parametrize("length", LENGTHS)
def test_optimum_beta_ascent_of_reward_less_the_penalty_is_that_of_j(length):
    p, beta = problem(length), 0.3
    true = objective_gradient(p.tree, p.table, p.ref, p.reward, beta)
    ours = objective_gradient(p.tree, p.table, p.ref, p.reward, 0.0)
    same(ours - beta * p.gradient(k1, "reward"), true)
    step, flat = 1e-6, torch.zeros_like(p.table)
    flat[0, 1] = step
    up, down = (
        objective(p.reward, p.tree.sequence_logp(t), p.tree.sequence_logp(p.ref), beta)
        for t in (p.table + flat, p.table - flat)
    )
    assert float((up - down) / (2 * step)) == pytest.approx(float(true[0, 1]), abs=1e-8)


def test_an_unknown_place_is_refused():
    with pytest.raises(ValueError, match="place must be reward or loss or sequence_loss"):
        problem(1).gradient(k1, "both")
