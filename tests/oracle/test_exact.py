import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import tensor

from rlhf.oracle import exact_sequence_kl, expected, objective, optimal_policy, sequence_entropy

REF = tensor([0.5, 0.25, 0.25], dtype=torch.float64).log()
REWARD = tensor([0.0, math.log(2.0), math.log(4.0)], dtype=torch.float64)


def test_optimal_policy_by_hand() -> None:
    logp, log_partition = optimal_policy(REF, REWARD, 1.0)  # weights 0.5, 0.5, 1
    torch.testing.assert_close(logp.exp(), tensor([0.25, 0.25, 0.5], dtype=torch.float64))
    assert log_partition.item() == pytest.approx(math.log(2.0))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.floats(0.1, 5),
)
def test_optimum_beta_no_policy_beats_beta_log_partition(
    rewards: list[float], logits: list[float], beta: float
) -> None:
    reward = tensor(rewards, dtype=torch.float64)
    ref = tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log()
    best, log_partition = optimal_policy(ref, reward, beta)
    optimum = (beta * log_partition).item()
    assert objective(reward, best, ref, beta).item() == pytest.approx(optimum, abs=1e-9)
    other = tensor(logits, dtype=torch.float64).log_softmax(-1)
    gap = optimum - objective(reward, other, ref, beta).item()
    assert gap >= -1e-9
    assert gap == pytest.approx(beta * exact_sequence_kl(other, best).item(), abs=1e-9)


def test_beta_monotone() -> None:
    betas = [0.05, 0.1, 0.2, 0.5, 1.0, 5.0]
    policies = [optimal_policy(REF, REWARD, beta)[0] for beta in betas]
    kls = [exact_sequence_kl(p, REF).item() for p in policies]
    rewards = [expected(REWARD, p).item() for p in policies]
    assert kls == sorted(kls, reverse=True) and len(set(kls)) == len(kls)
    assert rewards == sorted(rewards, reverse=True) and len(set(rewards)) == len(rewards)


def test_prompts_are_leading_dimensions() -> None:
    reward = torch.stack([REWARD, -REWARD])
    logp, log_partition = optimal_policy(REF.expand(2, 3), reward, 0.5)
    assert log_partition.shape == (2,)
    single, _ = optimal_policy(REF, -REWARD, 0.5)
    torch.testing.assert_close(logp[1], single)
    assert exact_sequence_kl(logp, REF).shape == (2,)


def test_kl_by_hand() -> None:
    pi = tensor([0.25, 0.25, 0.5], dtype=torch.float64).log()
    assert exact_sequence_kl(pi, REF).item() == pytest.approx(
        0.25 * math.log(0.5) + 0.5 * math.log(2.0)
    )
    assert exact_sequence_kl(REF, REF).item() == 0.0


def test_impossible_responses() -> None:
    ref = tensor([0.5, 0.5, 0.0]).log()
    logp, _ = optimal_policy(ref, tensor([0.0, 1.0, 9.0]), 1.0)
    assert logp[2].item() == -math.inf
    assert math.isfinite(exact_sequence_kl(logp, ref).item())
    assert exact_sequence_kl(tensor([0.5, 0.0, 0.5]).log(), ref).item() == math.inf


def test_beta_must_be_positive() -> None:
    with pytest.raises(ValueError, match="beta"):
        optimal_policy(REF, REWARD, 0.0)


def test_entropy_by_hand() -> None:
    assert sequence_entropy(REF).item() == pytest.approx(1.5 * math.log(2.0))
    assert sequence_entropy(tensor([1.0, 0.0]).log()).item() == 0.0
