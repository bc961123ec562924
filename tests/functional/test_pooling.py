import math

import pytest
import torch

from rlhf.functional.pooling import Mean, pooled


def test_seventeen_pairs_with_ten_right_in_batches_of_sixteen_and_one():
    """9 of 16 and 1 of 1: 10 / 17, not the mean (0.5625 + 1) / 2 = 0.78 of the two."""
    right = torch.tensor([True] * 9 + [False] * 7 + [True])
    parts = [Mean.of(part, torch.ones_like(part)) for part in right.split(16)]
    assert float(pooled(parts)) == pytest.approx(10 / 17)
    assert float(parts[0] + parts[1]) == pytest.approx(10 / 17)


def test_what_is_masked_is_in_neither_sum():
    x = torch.tensor([[1.0, 2.0, torch.nan], [6.0, torch.inf, torch.nan]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert float(Mean.of(x, mask)) == 3.0
    # a mask of rows counts each of their entries
    assert float(Mean.of(x[:, :1], mask[:, :1])) == 3.5


def test_a_known_mean_weighs_its_count():
    assert float(pooled([Mean.over(torch.tensor(2.0), 3), Mean.over(6.0, torch.tensor(1))])) == 3.0


def test_parts_of_a_step_add_up_and_steps_are_averaged():
    """Two steps, of two parts (1 + 3) and of one (8): the mean of 4 and 8."""
    parts = [Mean(1.0, 1 / 2), Mean(3.0, 1 / 2), Mean(8.0, 1.0)]
    assert float(pooled(parts)) == 6.0


def test_nothing_counted_is_no_number():
    empty = Mean.of(torch.ones(2), torch.zeros(2, dtype=torch.bool))
    assert math.isnan(float(empty)) and math.isnan(float(pooled([])))
    assert float(pooled([empty, Mean.over(2.0, 1)])) == 2.0


def test_no_gradient_is_kept():
    x = torch.ones(3, requires_grad=True)
    for mean in (Mean.of(x, torch.ones_like(x, dtype=torch.bool)), Mean.over(x.sum(), 1)):
        assert not mean.total.requires_grad
