import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import tensor

from rlhf.functional.masking import MODES, Mode, aggregate

X = tensor([[1.0, 2.0, 6.0], [4.0, 9.0, 9.0]])
MASK = tensor([[True, True, True], [True, False, False]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("token_mean", 13 / 4),
        ("sequence_sum", 13 / 2),
        ("sequence_mean", (3 + 4) / 2),
        ("fixed_length", 13 / 10),
    ],
)
def test_agg_modes(mode: Mode, expected: float) -> None:
    assert aggregate(X, MASK, mode, length=5).item() == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=8), st.integers(1, 7), st.sampled_from(MODES)
)
def test_accum_invariance(lengths: list[int], cut: int, mode: Mode) -> None:
    """Loss and gradient are the same for any split, narrower padding of a part included."""
    mask = tensor([[t < n for t in range(5)] for n in lengths])
    x = torch.randn(
        len(lengths), 5, generator=torch.Generator().manual_seed(sum(lengths)), dtype=torch.float64
    ).requires_grad_()
    whole = aggregate(x, mask, mode, length=7)
    (whole_grad,) = torch.autograd.grad(whole, x)
    totals = {"tokens": sum(lengths), "sequences": sum(n > 0 for n in lengths), "length": 7}
    total = torch.zeros((), dtype=torch.float64)
    for rows in (slice(0, cut), slice(cut, None)):
        width = max(lengths[rows], default=0)
        total = total + aggregate(x[rows, :width], mask[rows, :width], mode, **totals)
    torch.testing.assert_close(total, whole)
    torch.testing.assert_close(torch.autograd.grad(total, x)[0], whole_grad)


@pytest.mark.parametrize("mode", MODES)
def test_empty_mask(mode: Mode) -> None:
    x = torch.cat([X, torch.full((1, 3), torch.nan)])
    mask = torch.cat([MASK, torch.zeros(1, 3, dtype=torch.bool)])
    assert aggregate(x, mask, mode, length=5).item() == aggregate(X, MASK, mode, length=5).item()
    assert aggregate(x[2:], mask[2:], mode, length=5).item() == 0.0


def test_refusals() -> None:
    with pytest.raises(ValueError, match="length"):
        aggregate(X, MASK, "fixed_length")
    with pytest.raises(ValueError, match="token_mean, sequence_sum"):
        aggregate(X, MASK, "mean")  # type: ignore[arg-type]
