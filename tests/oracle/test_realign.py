import math

import pytest
import torch
from torch import tensor

from rlhf.oracle import (
    enumerate_responses,
    exact_sequence_kl,
    optimal_policy,
    realignment,
    sequence_mixture,
    standings,
    token_mixture,
)

# tokens 0 (EOS) and 1, two steps: the responses 0, 10, 11
TOKENS, MASK = enumerate_responses(2, 0, 2)
# first token even; after a 1, the reference's next is even, the policy's 0 with 1/4
REF = tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log()
POLICY = tensor([[0.5, 0.125, 0.375]], dtype=torch.float64).log()


def random_policy(seed: int, prompts: int = 3, listed: int = 15) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(prompts, listed, generator=draws, dtype=torch.float64).log_softmax(-1)


def test_realigned_two_tokens_and_two_steps_by_hand() -> None:
    """The first step is even in both, so in the token-wise mixture at 1/2: 0 has 1/2. After a 1:
    sqrt(1/2 1/4) : sqrt(1/2 3/4) = 1 : sqrt 3. Of whole responses it is 1/2 : sqrt(1/32) :
    sqrt(3/32), whose sum is below 1."""
    assert TOKENS.tolist() == [[0, 0], [1, 0], [1, 1]]
    share = 1 / (1 + math.sqrt(3))
    token = token_mixture(REF, POLICY, TOKENS, MASK, 0.5)
    assert token.exp()[0].tolist() == pytest.approx([0.5, 0.5 * share, 0.5 * (1 - share)])
    whole = [0.5, math.sqrt(1 / 32), math.sqrt(3 / 32)]
    sequence = sequence_mixture(REF, POLICY, 0.5)
    assert sequence.exp()[0].tolist() == pytest.approx([x / sum(whole) for x in whole])
    assert float(exact_sequence_kl(token, sequence)) == pytest.approx(
        0.5 * math.log(0.5 * sum(whole) / 0.5)
        + 0.5 * math.log(0.5 / ((whole[1] + whole[2]) / sum(whole)))
    )


def test_beyond_the_policy_by_hand() -> None:
    """lambda = 2 is pi^2 / ref: after a 1 it is (1/16) / (1/2) : (9/16) / (1/2) = 1 : 9."""
    token = token_mixture(REF, POLICY, TOKENS, MASK, 2.0)
    assert token.exp()[0].tolist() == pytest.approx([0.5, 0.05, 0.45])


@pytest.mark.parametrize("mixture", ["sequence", "token"])
def test_the_ends_are_the_reference_and_the_policy(mixture: str) -> None:
    tokens, mask = enumerate_responses(3, 1, 3)
    ref, policy = random_policy(0), random_policy(1)
    for weight, end in ((0.0, ref), (1.0, policy)):
        mixed = (
            sequence_mixture(ref, policy, weight)
            if mixture == "sequence"
            else token_mixture(ref, policy, tokens, mask, weight)
        )
        torch.testing.assert_close(mixed, end)


@pytest.mark.parametrize("weight", [0.3, 0.7, 1.4])
def test_the_token_mixture_is_a_distribution_whose_next_tokens_are_mixed(weight: float) -> None:
    tokens, mask = enumerate_responses(3, 1, 3)
    ref, policy = random_policy(2), random_policy(3)
    mixed = token_mixture(ref, policy, tokens, mask, weight).exp()
    assert mixed.sum(-1).tolist() == pytest.approx([1.0] * 3)

    def next_token(probability: torch.Tensor, before: list[int]) -> torch.Tensor:
        there = (tokens[:, : len(before)] == tensor(before)).all(-1) & mask[:, len(before)]
        return torch.stack(
            [probability[:, there & (tokens[:, len(before)] == v)].sum(-1) for v in range(3)], -1
        )

    for before in ([], [0], [2], [0, 2]):
        rows = [next_token(x, before) for x in (ref.exp(), policy.exp(), mixed)]
        by_hand = rows[0] ** (1 - weight) * rows[1] ** weight
        share = rows[2] / rows[2].sum(-1, keepdim=True)
        torch.testing.assert_close(share, by_hand / by_hand.sum(-1, keepdim=True))


def test_what_one_of_both_cannot_say_is_never_drawn() -> None:
    never = tensor([[0.5, 0.5, 0.0]], dtype=torch.float64).log()
    for mixed in (
        sequence_mixture(REF, never, 0.5),
        token_mixture(REF, never, TOKENS, MASK, 0.5),
        token_mixture(never, POLICY, TOKENS, MASK, 1.5),
    ):
        assert float(mixed[0, 2]) == -math.inf
        assert float(mixed.exp().sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("weight", [0.2, 0.5, 1.0, 1.7])
def test_realigned_optimum_is_the_optimum_at_beta_over_lambda(
    weight: float,
) -> None:
    ref, reward = random_policy(4), random_policy(5)
    best, _ = optimal_policy(ref, reward, 0.3)
    expected, _ = optimal_policy(ref, reward, 0.3 / weight)
    torch.testing.assert_close(sequence_mixture(ref, best, weight), expected)


def test_a_row_for_each_lambda() -> None:
    tokens, mask = enumerate_responses(3, 1, 3)
    ref, reward = random_policy(6), random_policy(7)
    best, _ = optimal_policy(ref, reward, 0.3)
    half, whole = realignment(ref, best, reward, tokens, mask, beta=0.3, weights=(0.5, 1.0))
    assert (half["lambda"], half["beta"]) == (0.5, 0.6)
    assert half["sequence"]["share_of_gain"] == pytest.approx(1.0)
    assert half["token"]["share_of_gain"] < 1.0 and half["apart"] > 0
    mixed = token_mixture(ref, best, tokens, mask, 0.5)
    rows = standings(mixed, ref, reward, 0.6)
    assert half["token"]["kl"] == pytest.approx(sum(row.kl for row in rows) / 3)
    assert whole["apart"] == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ValueError, match="lambda 0"):
        realignment(ref, best, reward, tokens, mask, beta=0.3, weights=(0.0,))
