import math

import pytest
import torch
from torch import tensor

from rlhf.functional.standard_errors import groups_of, mean_and_error, ratio_and_error


def test_groups_are_numbered_by_first_appearance():
    assert groups_of(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]


def test_mean_by_hand():
    mean, error = mean_and_error(tensor([1.0, 2.0, 3.0]))
    assert mean.item() == 2.0 and error.item() == pytest.approx(1 / math.sqrt(3))


def test_one_response_has_no_error():
    assert math.isnan(mean_and_error(tensor([1.0]))[1])
    assert math.isnan(ratio_and_error(tensor([1.0]), tensor([2]))[1])


def test_the_spread_between_prompts_is_no_error_where_each_was_asked_twice():
    """Prompt 0 gave 1 and 3 (s^2 = 2), prompt 1 gave 10 and 10: sum_h (1/2)^2 s_h^2 / 2 = 0.25."""
    x, groups = tensor([1.0, 10.0, 3.0, 10.0]), tensor([0, 1, 0, 1])
    mean, error = mean_and_error(x, groups)
    assert mean.item() == 6.0 and error.item() == pytest.approx(0.5)
    assert mean_and_error(x)[1] > 2


def test_prompts_asked_once_count_as_drawn_at_random():
    x = tensor([1.0, 10.0, 3.0])
    assert mean_and_error(x, tensor([0, 1, 0]))[1].item() == mean_and_error(x)[1].item()


def test_unequal_numbers_of_answers():
    """n_h = 2 and 3: (2/5)^2 * 2/2 + (3/5)^2 * 1/3."""
    x, groups = tensor([1.0, 3.0, 1.0, 2.0, 3.0]), tensor([0, 0, 1, 1, 1])
    assert mean_and_error(x, groups)[1].item() == pytest.approx(math.sqrt(0.16 + 0.12))


def test_ratio_by_hand():
    """Totals 3, 5 over 2, 1 tokens: R = 8/3, residuals -7/3 and 7/3, their mean errs by 7/3,
    over the mean count 1.5."""
    ratio, error = ratio_and_error(tensor([3.0, 5.0]), tensor([2, 1]))
    assert ratio.item() == pytest.approx(8 / 3) and error.item() == pytest.approx(7 / 3 / 1.5)


def test_a_ratio_that_never_varies_has_no_error():
    ratio, error = ratio_and_error(tensor([1.0, 2.0, 3.0]), tensor([2, 4, 6]))
    assert ratio.item() == 0.5 and error.item() == pytest.approx(0.0, abs=1e-12)


def test_rows_of_repeats_are_each_their_own():
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    count, groups = torch.arange(1, 9).expand(3, 8), tensor([0, 1, 2, 0, 1, 2, 0, 1])
    mean, error = mean_and_error(x, groups)
    ratio, ratio_error = ratio_and_error(x, count, groups)
    for i in range(3):
        torch.testing.assert_close((mean[i], error[i]), mean_and_error(x[i], groups))
        torch.testing.assert_close(
            (ratio[i], ratio_error[i]), ratio_and_error(x[i], count[i], groups)
        )
