import math
from itertools import product

import pytest
import torch
from torch import tensor

from rlhf.oracle import best_of_n, bon_kl, exact_sequence_kl


def test_bon_kl_by_hand() -> None:
    for n, value in [(1, 0.0), (2, 0.193), (4, 0.636), (16, 1.835), (64, 3.175)]:
        assert bon_kl(n) == pytest.approx(value, abs=5e-4)
    with pytest.raises(ValueError, match="n must"):
        bon_kl(0)


def test_bon_kl_is_exact_without_ties_in_the_limit() -> None:
    """4,000 equal responses with distinct rewards: the exact KL lies below the formula and close
    to it."""
    m, n = 4000, 4
    ref = torch.full((m,), -math.log(m), dtype=torch.float64)
    exact = exact_sequence_kl(best_of_n(ref, torch.arange(m), n), ref).item()
    assert exact <= bon_kl(n)
    assert exact == pytest.approx(bon_kl(n), abs=1e-3)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_best_of_n_is_what_drawing_gives(n: int) -> None:
    """Every way to draw n of 4 responses, two of them with the same reward; the first of the
    best is kept."""
    ref, reward = tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64), tensor([1.0, 0.0, 1.0, -2.0])
    kept = torch.zeros(4, dtype=torch.float64)
    for drawn in product(range(4), repeat=n):
        best = max(drawn, key=lambda i: reward[i].item())  # max keeps the first
        kept[best] += ref[list(drawn)].prod()
    torch.testing.assert_close(best_of_n(ref.log(), reward, n).exp(), kept)


def test_prompts_and_impossible_responses() -> None:
    ref = tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]).log()
    kept = best_of_n(ref, tensor([[0.0, 1.0, 9.0], [0.0, 0.0, 0.0]]), 2).exp()
    torch.testing.assert_close(kept[0], tensor([0.25, 0.75, 0.0], dtype=torch.float64))
    # all equal: best of n is the reference
    torch.testing.assert_close(kept[1], ref[1].double().exp())
