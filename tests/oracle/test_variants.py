import math

import pytest
import torch

from rlhf.oracle.exact import exact_sequence_kl, optimal_policy
from rlhf.oracle.tables import prefix_tree
from rlhf.oracle.variants import followed_beta, forward_objective, forward_optimal_policy


def problem(seed, count=30):
    generator = torch.Generator().manual_seed(seed)
    ref = torch.randn(2, count, generator=generator, dtype=torch.float64).log_softmax(-1)
    return ref, torch.randn(2, count, generator=generator, dtype=torch.float64)


def test_by_hand():
    """ref 1/2, 1/2, r 1, 0, beta 1: (1/2) / (L - 1) + (1/2) / L = 1 gives L^2 - 2 L + 1/2 = 0,
    L = 1 + sqrt(1/2); pi = sqrt(1/2), 1 - sqrt(1/2)."""
    logp, multiplier = forward_optimal_policy(
        torch.tensor([0.5, 0.5]).double().log(), torch.tensor([1.0, 0.0]), 1.0
    )
    assert float(multiplier) == pytest.approx(1 + math.sqrt(0.5), abs=1e-12)
    assert logp.exp().tolist() == pytest.approx([math.sqrt(0.5), 1 - math.sqrt(0.5)], abs=1e-12)


@pytest.mark.parametrize("beta", [0.01, 0.3, 5.0])
def test_forward_kl_optimum_has_no_gradient(beta):
    """The gradient by the logits is 0 at it, and any step away is worse."""
    ref, reward = problem(0)
    best, _ = forward_optimal_policy(ref, reward, beta)
    logits = best.clone().requires_grad_()
    value = forward_objective(reward, logits.log_softmax(-1), ref, beta)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.abs().max() < 1e-9
    for seed in range(3):
        step = 0.1 * problem(seed)[1]
        assert (forward_objective(reward, (best + step).log_softmax(-1), ref, beta) < value).all()


def test_forward_kl_optimum_of_equal_rewards_keeps_the_references_ratio():
    """As the reverse one does: neither evens out what the reference prefers."""
    ref = torch.tensor([0.7, 0.1, 0.2]).double().log()
    reward = torch.tensor([1.0, 1.0, 0.0]).double()
    for best, _ in (forward_optimal_policy(ref, reward, 0.2), optimal_policy(ref, reward, 0.2)):
        assert float((best[0] - best[1]).exp()) == pytest.approx(7.0)


def test_a_response_that_the_reference_excludes_stays_excluded():
    ref, reward = torch.tensor([0.5, 0.5, 0.0]).log(), torch.tensor([0.0, 1.0, 9.0])
    best, multiplier = forward_optimal_policy(ref, reward, 1.0)
    assert best[2] == -math.inf and float(multiplier) == pytest.approx(1 + math.sqrt(0.5))


def test_forward_refuses_beta_0():
    with pytest.raises(ValueError, match="beta must be a finite number above 0"):
        forward_optimal_policy(*problem(0), 0.0)


@pytest.mark.parametrize(("decay", "iterations"), [(0.0, 5), (0.9, 40), (0.99, 7)])
def test_followed_beta_of_an_anchor_that_averages_tables(decay, iterations):
    """The policy at its optimum, then anchor <- decay anchor + (1 - decay) policy by logits, again
    and again: in the end the optimum at the smaller coefficient to where it began."""
    beta, (ref, reward) = 0.8, problem(1)
    anchor = ref
    for _ in range(iterations):
        policy, _ = optimal_policy(anchor, reward, beta)
        anchor = (decay * anchor + (1 - decay) * policy).log_softmax(-1)
    reached, _ = optimal_policy(anchor, reward, beta)
    expected, _ = optimal_policy(ref, reward, followed_beta(beta, decay, iterations))
    torch.testing.assert_close(reached, expected, atol=1e-9, rtol=0)
    kept, _ = optimal_policy(ref, reward, beta)
    assert (exact_sequence_kl(reached, ref) > exact_sequence_kl(kept, ref)).all()


def test_followed_beta_of_a_table_by_prefix():
    """Tables of several tokens are averaged row by row: a copy (decay 0) is the same exactly, an
    average is not, as the mixture of each token is not that of responses."""
    tree, beta = prefix_tree(3, 2, 3), 0.8
    generator = torch.Generator().manual_seed(3)
    ref = torch.randn(tree.rows, 3, generator=generator, dtype=torch.float64)
    reward = torch.randn(len(tree.tokens), generator=generator, dtype=torch.float64)
    gaps = {}
    for decay in (0.0, 0.5):
        anchor = ref
        for _ in range(4):
            best, _ = optimal_policy(tree.sequence_logp(anchor), reward, beta)
            policy = tree.table_of(best).log_softmax(-1)
            anchor = decay * anchor.log_softmax(-1) + (1 - decay) * policy
        reached, _ = optimal_policy(tree.sequence_logp(anchor), reward, beta)
        expected, _ = optimal_policy(tree.sequence_logp(ref), reward, followed_beta(beta, decay, 4))
        gaps[decay] = float(exact_sequence_kl(reached, expected))
    assert gaps[0.0] < 1e-9 < 1e-5 < gaps[0.5] < 0.05
