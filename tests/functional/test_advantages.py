import pytest
import torch
from torch import tensor

from rlhf.functional.advantages import gae

REWARDS = tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]])
VALUES = tensor([[0.5, 1.5, 2.5], [1.0, 2.0, 1e9]])
MASK = tensor([[True, True, True], [True, True, False]])


def test_gae_closed_form_lam_1() -> None:
    advantages, _ = gae(REWARDS, VALUES, MASK, 0.5, 1.0)
    expected = tensor([[1 + 1 + 0.75 - 0.5, 2 + 1.5 - 1.5, 3 - 2.5], [4 + 2.5 - 1, 5 - 2, 0]])
    torch.testing.assert_close(advantages, expected)


def test_gae_closed_form_lam_0() -> None:
    advantages, _ = gae(REWARDS, VALUES, MASK, 0.5, 0.0)
    expected = tensor([[1 + 0.75 - 0.5, 2 + 1.25 - 1.5, 3 - 2.5], [4 + 1 - 1, 5 - 2, 0]])
    torch.testing.assert_close(advantages, expected)


def test_gae_by_hand_between() -> None:
    advantages, returns = gae(
        tensor([[0.0, 1.0]]), tensor([[0.2, 0.4]]), tensor([[True, True]]), 0.9, 0.5
    )
    # delta = 0.9 * 0.4 - 0.2 = 0.16, 1 - 0.4 = 0.6; A_0 = 0.16 + 0.45 * 0.6
    torch.testing.assert_close(advantages, tensor([[0.43, 0.6]]))
    torch.testing.assert_close(returns, tensor([[0.63, 1.0]]))


@pytest.mark.parametrize("garbage", [0.0, -1e9, torch.nan, torch.inf])
def test_gae_closed_form_ignores_what_the_pads_hold(garbage: float) -> None:
    clean = gae(REWARDS, VALUES * MASK, MASK, 0.9, 0.7)
    rewards, values = REWARDS.masked_fill(~MASK, garbage), VALUES.masked_fill(~MASK, garbage)
    for got, want in zip(gae(rewards, values, MASK, 0.9, 0.7), clean, strict=True):
        assert torch.equal(got, want)
        assert (got[~MASK] == 0).all()


def test_returns_unwhitened() -> None:
    advantages, returns = gae(REWARDS, VALUES, MASK, 1.0, 0.95)
    torch.testing.assert_close(returns, (advantages + VALUES) * MASK)


def test_detach() -> None:
    values = VALUES.clone().requires_grad_()
    advantages, returns = gae(REWARDS, values, MASK, 1.0, 0.95)
    assert not advantages.requires_grad
    assert not returns.requires_grad


def test_empty_mask() -> None:
    advantages, returns = gae(REWARDS, VALUES, torch.zeros(2, 3, dtype=torch.bool), 1.0, 0.95)
    assert (advantages == 0).all()
    assert (returns == 0).all()


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        gae(REWARDS, VALUES[:, :2], MASK, 1.0, 1.0)
