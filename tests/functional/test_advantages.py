import pytest
import torch
from torch import tensor

from rlhf.functional.advantages import gae, group_relative, leave_one_out, reward_to_go

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


# --- of whole responses

TWO_AND_THREE = tensor([0, 1, 0, 1, 1])
RETURNS = tensor([1.0, 2.0, 4.0, 5.0, 11.0])


def test_reward_to_go_by_hand() -> None:
    rewards = tensor([[1.0, 2.0, 4.0], [3.0, torch.nan, 9.0]])
    mask = tensor([[True, True, True], [True, False, False]])
    expected = tensor([[7.0, 6.0, 4.0], [3.0, 0.0, 0.0]])
    assert torch.equal(reward_to_go(rewards, mask), expected)


def test_leave_one_out_by_hand() -> None:
    """Group 0 has 1 and 4, group 1 has 2, 5 and 11: 2 - 8, 5 - 6.5, 11 - 3.5."""
    expected = tensor([-3.0, -6.0, 3.0, -1.5, 7.5])
    torch.testing.assert_close(leave_one_out(RETURNS, TWO_AND_THREE), expected)


def test_leave_one_out_of_two_is_their_difference() -> None:
    first, second = leave_one_out(tensor([0.3, 1.0]), tensor([0, 0])).tolist()
    assert (first, second) == (pytest.approx(-0.7), pytest.approx(0.7))


def test_group_relative_by_hand() -> None:
    """Group 0: mean 2.5, squares 2 * 1.5^2 = 4.5, std sqrt(4.5 / 1). Group 1: mean 6, squares 16 +
    1 + 25 = 42, std sqrt(42 / 2). Pooled: sqrt((4.5 + 42) / (1 + 2))."""
    centred = tensor([-1.5, -4.0, 1.5, -1.0, 5.0])
    plain, pooled = group_relative(RETURNS, TWO_AND_THREE, std=False)
    torch.testing.assert_close(plain, centred)
    assert pooled.item() == pytest.approx(15.5**0.5)
    divided, _ = group_relative(RETURNS, TWO_AND_THREE, std=True)
    stds = tensor([4.5, 21.0, 4.5, 21.0, 21.0]).sqrt()
    torch.testing.assert_close(divided, centred / stds)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_without_std_it_is_leave_one_out_by_a_factor(size: int) -> None:
    returns, groups = torch.arange(2.0 * size).square(), torch.arange(2).repeat(size)
    plain, _ = group_relative(returns, groups, std=False)
    torch.testing.assert_close(plain, (size - 1) / size * leave_one_out(returns, groups))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_equal_returns_and_a_response_alone_tell_nothing(value: float) -> None:
    returns, groups = tensor([value, value, value, 7.0]), tensor([0, 0, 0, 1])
    for advantages in (
        leave_one_out(returns, groups),
        *(group_relative(returns, groups, std)[0] for std in (True, False)),
    ):
        assert advantages.tolist() == [0.0] * 4
