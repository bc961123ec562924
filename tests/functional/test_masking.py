import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import tensor

from rlhf.functional.advantages import gae
from rlhf.functional.masking import masked_mean, masked_sum, masked_whiten

MASK = tensor([[True, True, False], [True, False, False]])


def test_sum_and_mean_by_hand() -> None:
    x = tensor([[1.0, 2.0, 100.0], [6.0, 100.0, 100.0]])
    assert masked_sum(x, MASK).item() == 9.0
    assert masked_sum(x, MASK, dim=1).tolist() == [3.0, 6.0]
    assert masked_mean(x, MASK).item() == 3.0
    assert masked_mean(x, MASK, dim=-1).tolist() == [1.5, 6.0]


def test_empty_mask_gives_zero_and_no_nan() -> None:
    x = torch.full((2, 3), torch.nan)
    none = torch.zeros(2, 3, dtype=torch.bool)
    assert masked_mean(x, none).item() == 0.0
    assert masked_mean(x, none, dim=1).tolist() == [0.0, 0.0]
    assert masked_whiten(x, none).tolist() == [[0.0] * 3] * 2


def test_what_is_masked_may_be_nan_and_gets_no_gradient() -> None:
    x = tensor([[1.0, 2.0, torch.nan], [3.0, torch.inf, -torch.inf]], requires_grad=True)
    masked_mean(x, MASK).backward()
    assert x.grad is not None
    assert torch.equal(x.grad, MASK / 3)


def test_a_mask_of_numbers_is_refused() -> None:
    with pytest.raises(TypeError, match="boolean"):
        masked_sum(torch.ones(2, 3), torch.ones(2, 3))


def test_whiten_mask_by_hand() -> None:
    # kept: 1, 3, 8 -> mean 4, biased variance (9 + 1 + 16) / 3
    x = tensor([[1.0, 3.0, 50.0], [8.0, -50.0, torch.nan]])
    std = (26 / 3) ** 0.5
    expected = tensor([[-3 / std, -1 / std, 0.0], [4 / std, 0.0, 0.0]])
    torch.testing.assert_close(masked_whiten(x, MASK), expected)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=12),
    st.floats(0.01, 100),
    st.integers(0, 2**12 - 1),
)
def test_whiten_mask_mean_and_variance(values: list[float], scale: float, bits: int) -> None:
    x = tensor(values, dtype=torch.float64)
    mask = tensor([bool(bits >> i & 1) for i in range(len(values))])
    white = masked_whiten(x, mask)
    assert torch.isfinite(white).all()
    assert (white[~mask] == 0).all()
    kept = x[mask]
    if mask.sum() > 1 and kept.std(correction=0) > 0.01:
        torch.testing.assert_close(
            white[mask].mean(), tensor(0.0, dtype=torch.float64), atol=1e-9, rtol=0
        )
        torch.testing.assert_close(white[mask].var(correction=0), tensor(1.0, dtype=torch.float64))
        torch.testing.assert_close(masked_whiten(scale * x, mask), white, atol=1e-6, rtol=1e-6)


def test_whiten_a_constant() -> None:
    x = torch.full((2, 3), 0.1)
    assert (masked_whiten(x, MASK) == 0).all()
    torch.testing.assert_close(masked_whiten(x, MASK, center=False), 0.1 * MASK)


def test_whiten_does_not_blow_up_rounding_noise() -> None:
    x = tensor([5.0, 5.0000005, 4.9999995])
    assert masked_whiten(x, torch.ones(3, dtype=torch.bool)).abs().max() < 0.1


def test_whiten_leaves_out_what_is_not_finite() -> None:
    x = tensor([1.0, 3.0, torch.nan, torch.inf])
    assert masked_whiten(x, torch.ones(4, dtype=torch.bool)).tolist() == [-1.0, 1.0, 0.0, 0.0]


def test_whiten_no_shift_zero() -> None:
    x = tensor([[4.0, 0.0, 7.0], [8.0, 7.0, 7.0]])  # kept: 4, 0, 8: mean 4, std sqrt(32/3)
    white = masked_whiten(x, MASK, center=False)
    std = (32 / 3) ** 0.5
    torch.testing.assert_close(white[0, 1], tensor(4 * (1 - 1 / std)))
    assert (white[~MASK] == 0).all()


def test_whiten_beta_scale() -> None:
    """Without the shift, score and KL shrink by the same 1/std; every valid token gets mean (1 -
    1/std) besides."""
    kl = tensor([[0.3, 0.1, 0.0], [0.7, 0.0, 0.0]])
    score = tensor([[0.0, 2.0, 0.0], [-1.0, 0.0, 0.0]])
    rewards = score - 0.5 * kl
    kept = rewards[MASK]
    mean, std = kept.mean(), kept.std(correction=0)
    torch.testing.assert_close(
        masked_whiten(rewards, MASK, center=False),
        (score / std - 0.5 * kl / std + mean * (1 - 1 / std)) * MASK,
    )


def test_whiten_scope() -> None:
    """The statistics are of what is passed in: the whole is not its halves."""
    x = tensor([[1.0, 2.0], [5.0, 9.0]])
    mask = torch.ones(2, 2, dtype=torch.bool)
    halves = torch.cat([masked_whiten(x[:1], mask[:1]), masked_whiten(x[1:], mask[1:])])
    torch.testing.assert_close(halves, tensor([[-1.0, 1.0], [-1.0, 1.0]]))
    std = (38.75 / 4) ** 0.5  # mean 4.25
    torch.testing.assert_close(masked_whiten(x, mask), (x - 4.25) / std)


def test_rm_norm() -> None:
    """A shift c of the score moves every return by c; if V moves too, the whitened advantages
    stay. A scale s divides beta by s."""
    mask = tensor([[True, True, True], [True, True, False]])
    kl = tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.0]])
    values = tensor([[0.5, 0.1, 0.2], [0.3, 0.2, 0.0]])

    def shaped(score: torch.Tensor, beta: float) -> torch.Tensor:
        rewards = -beta * kl
        rewards[0, 2] += score[0]
        rewards[1, 1] += score[1]
        return rewards

    score = tensor([1.0, -2.0])
    advantages, returns = gae(shaped(score, 0.1), values, mask, 1.0, 0.95)
    moved, moved_returns = gae(shaped(score + 3, 0.1), values + 3 * mask, mask, 1.0, 0.95)
    torch.testing.assert_close(moved_returns, returns + 3 * mask)
    torch.testing.assert_close(masked_whiten(moved, mask), masked_whiten(advantages, mask))
    scaled, _ = gae(shaped(5 * score, 0.1), 5 * values, mask, 1.0, 0.95)
    same, _ = gae(shaped(score, 0.1 / 5), values, mask, 1.0, 0.95)
    torch.testing.assert_close(masked_whiten(scaled, mask), masked_whiten(same, mask))
