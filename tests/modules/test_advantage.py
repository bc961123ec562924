"""Experience of whole rollouts of a random policy against a random reference."""

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.functional.advantages import gae
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from rlhf.models.load import scalar_model_from
from rlhf.modules.advantage import GAE, PaddedGAE, to_experience
from rlhf.types import ScoredRollout
from tests.rollout.test_evaluate import rollout_of, viewed

BETA = 0.3


def scored_of(policy, reference, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    view = viewed(policy, reference, rollout, rows=5)
    values = scalar_model_from(policy, seed=0).predict(rollout, AtOnce(rows=7))
    score = torch.arange(len(rollout.tokens), dtype=torch.float32) / 4
    return ScoredRollout(
        rollout=rollout,
        **vars(view),
        kl=(view.logp - view.ref_logp),
        values=values,
        judge_scores={"gold": score},
        raw_score=score,
        score=score,
    )


def penalty():
    return KLPenalty(Fixed(BETA), K1(), Reward(), SFT())


def test_shaped(policy, other_policy, tokenizer):
    """sum_t r_t = score - beta sum_t k_t, with the score on the last token of the response."""
    scored = scored_of(policy, other_policy, tokenizer)
    _, rewards = to_experience(
        scored, penalty(), GAE(gamma=1.0, lam=1.0, whiten=False, whiten_rewards=False)
    )
    assert torch.allclose(rewards.sum(1), scored.score - BETA * scored.kl.sum(1), atol=1e-5)
    assert not rewards[~scored.rollout.mask].any()


def test_returns_unwhitened(policy, other_policy, tokenizer):
    """Returns are raw advantages + values; whitening moves the advantages alone: mean 0,
    variance 1 over the mask, 0 elsewhere."""
    scored = scored_of(policy, other_policy, tokenizer)
    plain, rewards = to_experience(
        scored, penalty(), GAE(gamma=1.0, lam=0.9, whiten=False, whiten_rewards=False)
    )
    white, _ = to_experience(
        scored, penalty(), GAE(gamma=1.0, lam=0.9, whiten=True, whiten_rewards=False)
    )
    mask = scored.rollout.mask
    expected, _ = gae(rewards, scored.values, mask, 1.0, 0.9)
    assert torch.allclose(plain.advantages, expected) and torch.equal(plain.returns, white.returns)
    assert torch.allclose(plain.returns[mask], (plain.advantages + scored.values)[mask], atol=1e-5)
    counted = white.advantages[mask]
    assert abs(float(counted.mean())) < 1e-5 and abs(float(counted.var(correction=0)) - 1) < 1e-4
    assert not white.advantages[~mask].any()
    assert plain.reward_unit == 1.0
    assert white.reward_unit == pytest.approx(
        1 / float(plain.advantages[mask].std(correction=0)), rel=1e-4
    )


def test_whiten_beta_scale(policy, other_policy, tokenizer):
    """Whitened rewards are scaled by 1/std, score and KL alike, and moved by mean * (1 - 1/std);
    the unit is passed on."""
    scored = scored_of(policy, other_policy, tokenizer)
    settings = GAE(gamma=1.0, lam=1.0, whiten=False, whiten_rewards=True)
    white, rewards = to_experience(scored, penalty(), settings)
    counted = rewards[scored.rollout.mask]
    mean, std = counted.mean(), counted.std(correction=0)
    expected = (counted / std + mean * (1 - 1 / std)).sum()
    # lam = gamma = 1: the first return is the sum of the row's used rewards
    first = (white.returns[:, 0]).sum()
    assert float(first) == pytest.approx(float(expected), rel=1e-3)
    assert white.reward_unit == pytest.approx(1 / float(std), rel=1e-4)


@pytest.mark.parametrize("whiten", [True, False])
def test_advantages_that_mix_responses_say_so(whiten):
    assert GAE(gamma=1.0, lam=1.0, whiten=whiten, whiten_rewards=False).mixes_responses == whiten
    assert GAE(gamma=1.0, lam=1.0, whiten=False, whiten_rewards=whiten).mixes_responses == whiten


def test_alpaca_farms_statistics_count_the_padding_and_can_flip_a_sign():
    """By hand: rewards 1, 3 and a pad, 2 and two pads, values 0, lam 1. Advantages 4, 3 and 2 have
    the mean 3; over all six places 4, 3, 0, 2, 0, 0 it is 1.5, the variance 29/6 - 9/4 = 31/12."""
    rewards = torch.tensor([[1.0, 3.0, 0.0], [2.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    pads = torch.tensor([[0.0, 0.0, 9.0], [0.0, 9.0, 9.0]])  # a value there counts nothing
    how = {"gamma": 1.0, "lam": 1.0, "whiten": True, "whiten_rewards": False}
    masked, padded = (piece(**how)(rewards, pads, mask, groups=None) for piece in (GAE, PaddedGAE))
    assert masked.advantages[1, 0] < 0 < padded.advantages[1, 0]
    expected = torch.tensor([[2.5, 1.5, 0.0], [0.5, 0.0, 0.0]]) / (31 / 12) ** 0.5
    torch.testing.assert_close(padded.advantages, expected)
    torch.testing.assert_close(padded.returns, torch.tensor([[4.0, 3.0, 0.0], [2.0, 0.0, 0.0]]))


def test_alpaca_farms_whitened_rewards_reach_a_response_from_its_padding():
    """By hand: one response with reward 3 and a pad: over both the mean is 1.5 and the std 1.5, so
    they become 3/1.5 - 1 + 1.5 = 2.5 and 0.5, and the response's return is their sum."""
    how = {"gamma": 1.0, "lam": 1.0, "whiten": False, "whiten_rewards": True}
    estimate = PaddedGAE(**how)(
        torch.tensor([[3.0, 0.0]]), torch.zeros(1, 2), torch.tensor([[True, False]]), groups=None
    )
    torch.testing.assert_close(estimate.returns, torch.tensor([[3.0, 0.0]]))
    assert estimate.reward_unit == pytest.approx(1 / 1.5)
