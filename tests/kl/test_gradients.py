"""What each estimator and placement descends, by enumeration: every expectation is a sum over all
responses of a small softmax model.

Vocabulary 3 (token 2 is EOS), responses of up to 2 or 3 tokens; one row of logits for each prefix.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rlhf.functional.advantages import gae
from rlhf.functional.kl import exact, k1
from rlhf.functional.logprobs import token_logp
from rlhf.functional.losses import clipped_policy_loss
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1, K2, K3, Abs, Estimator, Exact, K1Clamped
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Loss, Placement, Reward, SequenceLoss
from rlhf.kl.reference import SFT
from rlhf.oracle import enumerate_responses, exact_sequence_kl, expected, objective, optimal_policy

VOCAB, EOS = 3, 2


@dataclass(frozen=True)
class Problem:
    tokens: Tensor  # [N, T]
    mask: Tensor  # [N, T]
    prefix: Tensor  # [N, T] row of the tables for the prefix before each token
    theta: Tensor  # [S, V] the policy's logits
    ref: Tensor  # [S, V]
    reward: Tensor  # [N]

    def logits(self, table: Tensor) -> Tensor:
        return table[self.prefix]

    def logp(self, table: Tensor) -> Tensor:
        return token_logp(self.logits(table), self.tokens)

    def sequence_logp(self, table: Tensor) -> Tensor:
        return (self.logp(table) * self.mask).sum(-1)


def problem(length: int = 2, move: float = 0.7) -> Problem:
    tokens, mask = enumerate_responses(VOCAB, EOS, length)
    prefix = torch.zeros_like(tokens)
    for t in range(1, length):
        prefix[:, t] = prefix[:, t - 1] * VOCAB + tokens[:, t - 1] + 1
    generator = torch.Generator().manual_seed(1)
    rows = int(prefix.max()) + 1
    ref = torch.randn(rows, VOCAB, generator=generator, dtype=torch.float64)
    theta = ref + move * torch.randn(rows, VOCAB, generator=generator, dtype=torch.float64)
    reward = torch.randn(len(tokens), generator=generator, dtype=torch.float64)
    return Problem(tokens, mask, prefix, theta, ref, reward)


def gradient(value: Tensor, table: Tensor) -> Tensor:
    return torch.autograd.grad(value, table)[0]


def true_kl_gradient(p: Problem) -> Tensor:
    theta = p.theta.clone().requires_grad_()
    return gradient(exact_sequence_kl(p.sequence_logp(theta), p.sequence_logp(p.ref)), theta)


def ppo_gradient(
    p: Problem,
    estimator: Estimator,
    placement: Placement,
    *,
    coef: float = 1.0,
    reward: Tensor | None = None,
    values: Tensor | None = None,
    theta: Tensor | None = None,
) -> Tensor:
    """Expected gradient of PPO's whole loss at its first minibatch: gamma = lam = 1, no
    whitening, sequence_sum, no reward unless given."""
    start = p.theta if theta is None else theta
    table = start.clone().requires_grad_()
    logp, ref_logp, old_logp = p.logp(table), p.logp(p.ref), p.logp(start)
    weights = p.sequence_logp(start).exp()

    def reduce(x: Tensor, mask: Tensor) -> Tensor:
        return (weights * (x * mask).sum(-1)).sum()

    penalty = KLPenalty(Fixed(coef), estimator, placement, SFT())
    exact_kl = exact(p.logits(table), p.logits(p.ref))
    kl = penalty.token_kl(old_logp, ref_logp, p.mask, exact_kl)
    score = torch.zeros_like(p.reward) if reward is None else reward
    rewards = penalty.token_rewards(kl, score, p.mask)
    baseline = torch.zeros_like(rewards) if values is None else values
    advantages, _ = gae(rewards, baseline, p.mask, 1.0, 1.0)
    loss = clipped_policy_loss(logp, old_logp, advantages, p.mask, 0.2, reduce)
    loss = loss + penalty.loss(logp, ref_logp, old_logp, exact_kl, p.mask, reduce)
    return gradient(loss, table)


def test_the_enumeration_is_whole() -> None:
    p = problem(3)
    assert p.sequence_logp(p.theta).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_seq_chain_rule(length: int) -> None:
    """KL of responses = E[sum of token KLs over the prefixes], EOS included; and = E[sum of k1]."""
    p = problem(length)
    logp = p.sequence_logp(p.theta)
    whole = exact_sequence_kl(logp, p.sequence_logp(p.ref))
    tokens = (exact(p.logits(p.theta), p.logits(p.ref)) * p.mask).sum(-1)
    sampled = (k1(p.logp(p.theta), p.logp(p.ref)) * p.mask).sum(-1)
    torch.testing.assert_close(expected(tokens, logp), whole)
    torch.testing.assert_close(expected(sampled, logp), whole)
    without_eos = (exact(p.logits(p.theta), p.logits(p.ref)) * (p.mask & (p.tokens != EOS))).sum(-1)
    assert not torch.allclose(expected(without_eos, logp), whole, rtol=0.02)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_grad_reward_vs_loss_k1_in_reward_is_right(length: int) -> None:
    p = problem(length)
    torch.testing.assert_close(ppo_gradient(p, K1(), Reward()), true_kl_gradient(p))


def test_grad_reward_vs_loss_token_k2_drops_the_future() -> None:
    bandit, two = problem(1), problem(2)
    torch.testing.assert_close(ppo_gradient(bandit, K2(), Loss()), true_kl_gradient(bandit))
    true, token = true_kl_gradient(two), ppo_gradient(two, K2(), Loss())
    torch.testing.assert_close(token[1:], true[1:])  # the last token has no future
    assert true[0, 1] > 0 > token[0, 1]  # one component even has the wrong sign
    # and what is missing is E[(future KL) grad logp_0]
    table = two.theta.clone().requires_grad_()
    logp = two.logp(table)
    future = (exact(two.logits(two.theta), two.logits(two.ref)) * two.mask)[:, 1]
    weights = two.sequence_logp(two.theta).exp()
    torch.testing.assert_close(true - token, gradient((weights * future * logp[:, 0]).sum(), table))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_grad_reward_vs_loss_sequence_k2_is_right(length: int) -> None:
    p = problem(length)
    torch.testing.assert_close(ppo_gradient(p, K2(), SequenceLoss()), true_kl_gradient(p))


def test_grad_reward_vs_loss_on_the_vocab_3_length_2_model_of_the_statement() -> None:
    """The first token's gradient has components of both signs in the true one; the sequence form
    has them, the token form has not."""
    p = problem(2)
    true, whole, token = (
        true_kl_gradient(p)[0],
        ppo_gradient(p, K2(), SequenceLoss())[0],
        ppo_gradient(p, K2(), Loss())[0],
    )
    assert torch.equal(whole.sign(), true.sign()) and not torch.equal(token.sign(), true.sign())


def test_grad_as_loss_of_sequences_k3_is_the_forward_kl_and_abs_the_total_variation() -> None:
    p = problem(2)
    table = p.theta.clone().requires_grad_()
    ref, logp = p.sequence_logp(p.ref), p.sequence_logp(table)
    forward = gradient(exact_sequence_kl(ref, logp), table)
    torch.testing.assert_close(ppo_gradient(p, K3(), SequenceLoss()), forward)
    variation = gradient((p.sequence_logp(table).exp() - ref.exp()).abs().sum(), table)
    torch.testing.assert_close(ppo_gradient(p, Abs(), SequenceLoss()), variation)


def test_grad_as_loss_k3_descends_the_forward_kl_of_each_token() -> None:
    p = problem(2)
    table = p.theta.clone().requires_grad_()
    forward = exact(p.logits(p.ref), p.logits(table))
    weights = p.sequence_logp(p.theta).exp()
    torch.testing.assert_close(
        ppo_gradient(p, K3(), Loss()), gradient((weights * (forward * p.mask).sum(-1)).sum(), table)
    )


def test_grad_as_loss_abs_descends_twice_the_total_variation_of_each_token() -> None:
    p = problem(2)
    table = p.theta.clone().requires_grad_()
    variation = (p.logits(table).softmax(-1) - p.logits(p.ref).softmax(-1)).abs().sum(-1) / 2
    weights = p.sequence_logp(p.theta).exp()
    torch.testing.assert_close(
        ppo_gradient(p, Abs(), Loss()),
        2 * gradient((weights * (variation * p.mask).sum(-1)).sum(), table),
    )


def test_k3_in_the_reward_is_kl_minus_forward_kl_for_one_token() -> None:
    p = problem(1)
    table = p.theta.clone().requires_grad_()
    forward = gradient(exact(p.ref, table).sum(), table)
    torch.testing.assert_close(ppo_gradient(p, K3(), Reward()), true_kl_gradient(p) - forward)
    near = problem(1, move=0.01)
    assert ppo_gradient(near, K3(), Reward()).norm() < 0.02 * true_kl_gradient(near).norm()


@pytest.mark.parametrize("estimator", [K2(), Abs(), K1Clamped()])
def test_the_other_estimators_in_the_reward_are_biased(estimator: Estimator) -> None:
    p = problem(2)
    assert not torch.allclose(
        ppo_gradient(p, estimator, Reward()), true_kl_gradient(p), rtol=0.1, atol=1e-2
    )


@pytest.mark.parametrize("length", [1, 2, 3])
def test_exact_gradient(length: int) -> None:
    p = problem(length)
    torch.testing.assert_close(ppo_gradient(p, Exact(), Both()), true_kl_gradient(p))


def test_exact_gradient_needs_both_halves() -> None:
    p = problem(2)
    table = p.theta.clone().requires_grad_()
    exact_kl = exact(p.logits(table), p.logits(p.ref)) * p.mask
    weights = p.sequence_logp(p.theta).exp()
    own = gradient((weights * exact_kl.sum(-1)).sum(), table)
    future = (
        torch.flip(torch.cumsum(torch.flip(exact_kl.detach(), [1]), 1), [1]) - exact_kl.detach()
    )
    table_2 = p.theta.clone().requires_grad_()
    credit = gradient((weights * (future * p.logp(table_2) * p.mask).sum(-1)).sum(), table_2)
    true = true_kl_gradient(p)
    torch.testing.assert_close(own + credit, true)
    assert not torch.allclose(own, true, rtol=0.1, atol=1e-2)
    assert not torch.allclose(credit, true, rtol=0.1, atol=1e-2)


def test_exact_gradient_has_less_variance_than_k1_with_a_perfect_value_model() -> None:
    """Of the first token's gradient, over responses: V is the expected reward to go, so what is
    left is the noise of the sampled KL."""
    p = problem(2)
    weights = p.sequence_logp(p.theta).exp()
    full = exact(p.logits(p.theta), p.logits(p.ref)) * p.mask
    d = k1(p.logp(p.theta), p.logp(p.ref)) * p.mask
    # grad logp_0
    score = p.logits(p.theta).softmax(-1)[:, 0].neg() + torch.nn.functional.one_hot(
        p.tokens[:, 0], VOCAB
    )
    total = expected(d.sum(-1), p.sequence_logp(p.theta))
    with_k1 = (d.sum(-1) - total).unsqueeze(-1) * score
    table = p.theta.clone().requires_grad_()
    own = gradient(exact(table[:1], p.ref[:1]).sum(), table)[0]
    with_exact = own + (full.sum(-1) - total).unsqueeze(-1) * score

    def variance(samples: Tensor) -> float:
        mean = (weights.unsqueeze(-1) * samples).sum(0)
        return float((weights.unsqueeze(-1) * (samples - mean).square()).sum())

    torch.testing.assert_close(
        (weights.unsqueeze(-1) * with_k1).sum(0), (weights.unsqueeze(-1) * with_exact).sum(0)
    )
    assert variance(with_exact) < 0.5 * variance(with_k1)


def test_off_policy_kl_in_the_loss() -> None:
    """Samples of pi_old, gradient at pi: the weighted k2 gives the gradient of KL(pi || ref);
    without the weight it is another."""
    p = problem(1)
    old = torch.zeros_like(p.ref)  # uniform
    table = p.theta.clone().requires_grad_()
    logp, old_logp = p.logp(table), p.logp(old)
    weights = p.sequence_logp(old).exp()

    def reduce(x: Tensor, mask: Tensor) -> Tensor:
        return (weights * (x * mask).sum(-1)).sum()

    penalty = KLPenalty(Fixed(1.0), K2(), Loss(), SFT())
    got = gradient(penalty.loss(logp, p.logp(p.ref), old_logp, None, p.mask, reduce), table)
    torch.testing.assert_close(got, true_kl_gradient(p))
    unweighted = gradient(
        penalty.loss(p.logp(table), p.logp(p.ref), p.logp(p.theta), None, p.mask, reduce), table
    )
    assert not torch.allclose(unweighted, true_kl_gradient(p), rtol=0.1, atol=1e-2)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_off_policy_kl_of_sequences(length: int) -> None:
    """Samples of pi_old: with rho of the whole response the gradient is that of KL(pi || ref) at
    any length, prefixes included.

    The weight of each token alone leaves the prefixes to pi_old. And rho (d + 1) grad logp, the
    derivative of E_old[rho D], is the same.
    """
    p = problem(length)
    old = torch.zeros_like(p.ref)  # uniform
    weights, true = p.sequence_logp(old).exp(), true_kl_gradient(p)

    def reduce(x: Tensor, mask: Tensor) -> Tensor:
        return (weights * (x * mask).sum(-1)).sum()

    def got(placement: Placement, old_table: Tensor) -> Tensor:
        table = p.theta.clone().requires_grad_()
        penalty = KLPenalty(Fixed(1.0), K2(), placement, SFT())
        return gradient(
            penalty.loss(p.logp(table), p.logp(p.ref), p.logp(old_table), None, p.mask, reduce),
            table,
        )

    torch.testing.assert_close(got(SequenceLoss(), old), true)
    assert not torch.allclose(got(SequenceLoss(), p.theta), true, rtol=0.1, atol=1e-2)  # unweighted
    table = p.theta.clone().requires_grad_()
    logp, ref_logp, old_logp = p.sequence_logp(table), p.sequence_logp(p.ref), p.sequence_logp(old)
    torch.testing.assert_close(
        gradient((weights * (logp - old_logp).exp() * (logp - ref_logp)).sum(), table), true
    )


@pytest.mark.parametrize(
    ("estimator", "placement"), [(K1(), Reward()), (Exact(), Both()), (K2(), SequenceLoss())]
)
def test_value_alignment(estimator: Estimator, placement: Placement) -> None:
    """PPO's expected first gradient is that of J, with any value that depends on the state
    before the token; shifted by one it is not."""
    p = problem(3)
    theta = p.theta.clone().requires_grad_()
    j = objective(p.reward, p.sequence_logp(theta), p.sequence_logp(p.ref), 0.3)
    true = -gradient(j, theta)
    values = torch.randn(
        len(p.theta), generator=torch.Generator().manual_seed(9), dtype=torch.float64
    )[p.prefix]
    got = ppo_gradient(p, estimator, placement, coef=0.3, reward=p.reward, values=values)
    torch.testing.assert_close(got, true)
    after = values.roll(-1, dims=1)  # the value of the state after the token
    assert not torch.allclose(
        ppo_gradient(p, estimator, placement, coef=0.3, reward=p.reward, values=after),
        true,
        rtol=0.1,
        atol=1e-2,
    )


@pytest.mark.parametrize(
    ("estimator", "placement"), [(K1(), Reward()), (Exact(), Both()), (K2(), SequenceLoss())]
)
def test_optimum_beta(estimator: Estimator, placement: Placement) -> None:
    """PPO's expected gradient is 0 at pi* = ref exp(r / beta) / Z, and leads there from the
    reference: to the objective beta log Z."""
    beta, p = 0.5, problem(2)
    ref_logp = p.sequence_logp(p.ref)
    best, log_partition = optimal_policy(ref_logp, p.reward, beta)
    # the optimum as a table: log of the mass that pi* has behind each prefix and token
    table = torch.zeros_like(p.ref).index_put(
        (p.prefix[p.mask], p.tokens[p.mask]),
        best.exp().unsqueeze(-1).expand_as(p.mask)[p.mask],
        True,
    )
    table = table.clamp(min=1e-300).log()
    torch.testing.assert_close(p.sequence_logp(table), best)
    assert (
        ppo_gradient(p, estimator, placement, coef=beta, reward=p.reward, theta=table).abs().max()
        < 1e-12
    )
    theta = p.ref.clone().requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=0.05)
    for _ in range(400):
        theta.grad = ppo_gradient(
            p, estimator, placement, coef=beta, reward=p.reward, theta=theta.detach()
        )
        optimizer.step()
    reached = objective(p.reward, p.sequence_logp(theta.detach()), ref_logp, beta)
    start = expected(p.reward, ref_logp)
    assert (reached - start) / (beta * log_partition - start) > 0.999


def test_optimum_beta_is_missed_by_the_clamped_estimator() -> None:
    beta, p = 0.5, problem(2)
    theta = p.ref.clone()
    for _ in range(400):
        theta = theta - 2.0 * ppo_gradient(
            p, K1Clamped(), Reward(), coef=beta, reward=p.reward, theta=theta
        )
    _, log_partition = optimal_policy(p.sequence_logp(p.ref), p.reward, beta)
    gap = beta * log_partition - objective(
        p.reward, p.sequence_logp(theta), p.sequence_logp(p.ref), beta
    )
    assert gap > 1e-3


def test_beta_monotone() -> None:
    """Where PPO ends: larger beta, smaller KL and smaller reward."""
    p = problem(2)
    kls, rewards = [], []
    for beta in (0.3, 0.6, 1.2):
        theta = p.ref.clone()
        for _ in range(150):
            theta = theta - 2.0 / (1 + beta) * ppo_gradient(
                p, K1(), Reward(), coef=beta, reward=p.reward, theta=theta
            )
        kls.append(exact_sequence_kl(p.sequence_logp(theta), p.sequence_logp(p.ref)).item())
        rewards.append(expected(p.reward, p.sequence_logp(theta)).item())
    assert kls == sorted(kls, reverse=True)
    assert rewards == sorted(rewards, reverse=True)
