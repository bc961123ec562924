from itertools import combinations

import pytest
import torch

from rlhf.oracle import best_of_n_mean

SCORE = torch.tensor([0.3, -1.0, 2.0, 0.9, 0.1])
VALUE = torch.tensor([1.0, 5.0, -2.0, 4.0, 0.5])


def test_bon_estimator_is_the_mean_over_all_subsets():
    for n in range(1, 6):
        kept = [VALUE[max(subset, key=lambda i: SCORE[i])] for subset in combinations(range(5), n)]
        assert float(best_of_n_mean(SCORE, VALUE, n)) == pytest.approx(
            float(sum(kept) / len(kept)), rel=1e-6
        )


def test_bon_estimator_ends():
    # a single one: the plain mean
    assert float(best_of_n_mean(SCORE, VALUE, 1)) == pytest.approx(8.5 / 5)
    assert float(best_of_n_mean(SCORE, VALUE, 5)) == pytest.approx(-2.0)  # all: the best scored


def test_bon_estimator_is_unbiased():
    """Three responses with probabilities 0.5, 0.3, 0.2, four drawn: the mean over all 81 draws
    is the exact best of 2."""
    probability, score, value = (
        torch.tensor([0.5, 0.3, 0.2]),
        torch.tensor([0.0, 1.0, 2.0]),
        torch.tensor([3.0, -1.0, 7.0]),
    )
    draws = torch.cartesian_prod(*[torch.arange(3)] * 4)
    weight = probability[draws].double().prod(dim=1)
    # best of 2 keeps the third with 1 - 0.8^2, the second with 0.8^2 - 0.5^2, the first with 0.5^2
    exact = 0.36 * 7 + 0.39 * -1 + 0.25 * 3
    assert float((weight * best_of_n_mean(score[draws], value[draws], 2)).sum()) == pytest.approx(
        exact, rel=1e-6
    )


def test_bon_estimator_of_many_stays_finite():
    score = torch.arange(2000.0).expand(3, -1)
    assert best_of_n_mean(score, torch.ones(3, 2000), 700).tolist() == pytest.approx(
        [1.0] * 3, rel=1e-9
    )


@pytest.mark.parametrize("n", [0, 6])
def test_n_outside_of_what_was_drawn_is_refused(n):
    with pytest.raises(ValueError, match="1 <= n <= 5"):
        best_of_n_mean(SCORE, VALUE, n)
