import math

import pytest
import torch
from torch import Tensor, tensor

from rlhf.functional.losses import (
    bradley_terry,
    clipped_policy_loss,
    clipped_tokens,
    clipped_value_loss,
    explained_variance,
    policy_gradient_loss,
    preference_loss,
    token_nll,
)
from rlhf.functional.masking import aggregate

ONE = torch.ones(1, 1, dtype=torch.bool)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "flows"),
    [
        (1.5, 1.0, -1.2, False),  # clipped: already above 1.2 and A wants more
        (1.5, -1.0, 1.5, True),
        (0.5, 1.0, -0.5, True),
        (0.5, -1.0, 0.8, False),
        (1.1, 2.0, -2.2, True),
    ],
)
def test_policy_clip(ratio: float, advantage: float, loss: float, flows: bool) -> None:
    logp = tensor([[math.log(ratio)]], requires_grad=True)
    old, advantages = torch.zeros(1, 1), tensor([[advantage]])
    value = clipped_policy_loss(logp, old, advantages, ONE, 0.2)
    value.backward()
    assert logp.grad is not None
    assert value.item() == pytest.approx(loss)
    assert logp.grad.item() == pytest.approx(-advantage * ratio if flows else 0.0)
    assert clipped_tokens(logp, old, advantages, ONE, 0.2).item() is not flows


def test_policy_clip_off() -> None:
    logp = tensor([[math.log(3.0)]])
    assert clipped_policy_loss(
        logp, torch.zeros(1, 1), tensor([[1.0]]), ONE, None
    ).item() == pytest.approx(-3.0)
    assert not clipped_tokens(logp, torch.zeros(1, 1), tensor([[1.0]]), ONE, None).item()


def test_policy_loss_is_finite_for_any_ratio() -> None:
    logp = tensor([[1000.0]], requires_grad=True)
    loss = clipped_policy_loss(logp, torch.zeros(1, 1), tensor([[-1.0]]), ONE, 0.2)
    loss.backward()
    assert logp.grad is not None
    assert torch.isfinite(loss) and torch.isfinite(logp.grad).all()


@pytest.mark.parametrize(
    ("value", "old", "target", "clip", "loss"),
    [
        (1.0, 0.0, 1.0, 0.2, 0.5 * 0.8**2),  # clipped to 0.2: the larger error counts
        (1.0, 0.0, 1.0, None, 0.0),
        (1.0, 0.0, 0.0, 0.2, 0.5),
        (0.1, 0.0, 1.0, 0.2, 0.5 * 0.9**2),
    ],
)
def test_value_clip(
    value: float, old: float, target: float, clip: float | None, loss: float
) -> None:
    got = clipped_value_loss(tensor([[value]]), tensor([[old]]), tensor([[target]]), ONE, clip)
    assert got.item() == pytest.approx(loss)


def test_losses_take_the_masked_mean_or_another_reduction() -> None:
    values, zeros = tensor([[1.0, 2.0, 3.0], [4.0, 9.0, 9.0]]), torch.zeros(2, 3)
    mask = tensor([[True, True, True], [True, False, False]])

    def sequences(x: Tensor, m: Tensor) -> Tensor:
        return aggregate(x, m, "sequence_mean")

    assert clipped_value_loss(values, zeros, zeros, mask, None).item() == pytest.approx(
        (1 + 4 + 9 + 16) / 8
    )
    assert clipped_value_loss(values, zeros, zeros, mask, None, sequences).item() == pytest.approx(
        (14 / 6 + 8) / 2
    )
    assert clipped_policy_loss(zeros, zeros, values, mask, 0.2).item() == pytest.approx(-2.5)
    assert clipped_policy_loss(zeros, zeros, values, mask, 0.2, sequences).item() == pytest.approx(
        -3.0
    )


def test_mask_after_eos() -> None:
    """What the pads hold changes no bit of a loss, a gradient or a metric."""
    mask = tensor([[True, True, False]])

    def outputs(pad: float) -> list[Tensor]:
        x = tensor([[0.3, -0.2, pad]], requires_grad=True)
        y = tensor([[0.1, 0.4, pad]])
        policy = clipped_policy_loss(x, y, y, mask, 0.2)
        value = clipped_value_loss(x, y, y, mask, 0.2)
        logits = torch.stack([x, -x], dim=-1)
        nll = token_nll(logits, tensor([[1, 0, -100]]), mask)
        grads = [torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in (policy, value)]
        return [
            policy,
            value,
            nll,
            *grads,
            clipped_tokens(x, y, y, mask, 0.2),
            explained_variance(x, y, mask),
        ]

    for a, b in zip(outputs(0.0), outputs(torch.nan), strict=True):
        assert torch.equal(a, b)


def test_detach() -> None:
    x = [torch.zeros(1, 1, requires_grad=True) for _ in range(5)]
    loss = clipped_policy_loss(x[0], x[1], x[2], ONE, 0.2) + clipped_value_loss(
        x[0], x[3], x[4], ONE, 0.2
    )
    loss.backward()
    assert x[0].grad is not None
    assert all(other.grad is None for other in x[1:])


def test_empty_mask() -> None:
    none, x = torch.zeros(2, 3, dtype=torch.bool), torch.randn(2, 3)
    assert clipped_policy_loss(x, x, x, none, 0.2).item() == 0.0
    assert clipped_value_loss(x, x, x, none, 0.2).item() == 0.0
    assert not clipped_tokens(x, x - 1, x, none, 0.2).any()


def test_rm_loss() -> None:
    chosen, rejected = tensor([1.0, 0.0]), tensor([0.0, 1.0])
    plain = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert bradley_terry(chosen, rejected).item() == pytest.approx(plain)
    assert bradley_terry(chosen + 7, rejected + 7).item() == pytest.approx(plain, rel=1e-5)
    with_margin = bradley_terry(chosen, rejected, tensor([1.0, 0.0])).item()
    assert with_margin == pytest.approx((math.log(2) + math.log(1 + math.exp(1))) / 2)
    assert bradley_terry(chosen, rejected, centering=0.1).item() == pytest.approx(plain + 0.1)
    assert bradley_terry(tensor([1000.0]), tensor([-1000.0])).item() == 0.0


@pytest.mark.parametrize(
    ("kind", "smoothing", "expected"),
    [
        # gaps of 2, -2 and 1 nats at beta = 1/2: beta h = 1, -1, 1/2; 1 / (2 beta) = 1
        ("sigmoid", 0.0, [0.3132617, 1.3132617, 0.4740770]),
        ("sigmoid", 0.1, [0.4132617, 1.2132617, 0.5240770]),
        ("ipo", 0.0, [1.0, 9.0, 0.0]),
        ("ipo", 0.1, [0.9 * 1 + 0.1 * 9, 0.9 * 9 + 0.1 * 1, 0.1 * 4]),
        ("hinge", 0.0, [0.0, 2.0, 0.5]),
        ("hinge", 0.1, [0.1 * 2, 0.9 * 2, 0.9 * 0.5 + 0.1 * 1.5]),
    ],
)
def test_preference_losses_by_hand(kind, smoothing, expected) -> None:
    losses = preference_loss(tensor([2.0, -2.0, 1.0]), 0.5, kind, smoothing)
    torch.testing.assert_close(losses, tensor(expected), atol=1e-6, rtol=0)


def test_a_preference_loss_does_not_overflow() -> None:
    losses = preference_loss(tensor([-5000.0, 5000.0]), 1.0)
    assert losses.tolist() == [5000.0, 0.0]


def test_token_nll_by_hand() -> None:
    logits = tensor([[[1.0, 3.0], [1.0, 1.0], [5.0, 5.0]]]).log()
    mask = tensor([[True, True, False]])
    labels = tensor([[1, 0, -100]])
    assert token_nll(logits, labels, mask).item() == pytest.approx(
        (math.log(4 / 3) + math.log(2)) / 2
    )


def test_explained_variance() -> None:
    returns = tensor([[1.0, 3.0, 99.0]])
    mask = tensor([[True, True, False]])
    assert explained_variance(returns, returns, mask).item() == 1.0
    assert explained_variance(tensor([[5.0, 5.0, 5.0]]), returns, mask).item() == 0.0
    assert explained_variance(tensor([[1.0, 2.0, 0.0]]), returns, mask).item() == pytest.approx(
        0.75
    )
    assert math.isnan(explained_variance(returns, torch.ones(1, 3), mask).item())


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "flows"),
    [
        (1.25, 1.0, -1.25, True),  # below 1.28: DAPO's clip is higher above
        (1.5, 1.0, -1.28, False),
        (0.7, -1.0, 0.8, False),  # and 0.8 below
        (0.9, -1.0, 0.9, True),
    ],
)
def test_policy_clip_higher_above(ratio: float, advantage: float, loss: float, flows: bool) -> None:
    old, advantages = torch.zeros(1, 1), tensor([[advantage]])
    logp = tensor([[math.log(ratio)]], requires_grad=True)
    value = clipped_policy_loss(logp, old, advantages, ONE, (0.2, 0.28))
    value.backward()
    assert value.item() == pytest.approx(loss)
    assert logp.grad is not None
    assert (logp.grad.item() != 0) == flows
    assert clipped_tokens(logp, old, advantages, ONE, (0.2, 0.28)).item() == (not flows)


def test_policy_gradient_by_hand() -> None:
    """-(2 * -0.5 - 1 * -0.25) / 2, the third token being masked; d/dlogp = -A / 2."""
    logp = tensor([[-0.5, -0.25, torch.nan]], requires_grad=True)
    mask = tensor([[True, True, False]])
    loss = policy_gradient_loss(logp, tensor([[2.0, -1.0, 5.0]]), mask)
    loss.backward()
    assert loss.item() == pytest.approx(0.375)
    assert logp.grad is not None
    assert logp.grad.tolist() == [[-1.0, 0.5, 0.0]]
