import logging

import pytest
import torch

from rlhf.annotators.base import Comparison, Simulated
from rlhf.annotators.endpoint.budget import Unreachable
from rlhf.annotators.win_rates.measure import in_both_orders, win_rate_metrics
from rlhf.data.conversations import Prompt, asked
from rlhf.metrics import METRICS


class Says(Simulated):
    """What it has been told to say of (first, second); it keeps what it was asked."""

    def __init__(self, preferences, flip=0.0):
        super().__init__(flip)
        self.preferences, self.seen = preferences, []

    def probabilities(self, comparisons):
        self.seen += [(c.first, c.second) for c in comparisons]
        given = [self.preferences[c.first, c.second] for c in comparisons]
        return torch.tensor(given, dtype=torch.float64)


def compared(*pairs):
    return [
        Comparison(prompt=Prompt(turns=asked(prompt)), first=first, second=second)
        for prompt, first, second in pairs
    ]


# of the policy's answers a, bb, c and the baseline's x, y, z
PREFERENCES = {
    **{("a", "x"): 1.0, ("x", "a"): 0.0},  # a wins in both orders
    **{("bb", "y"): 1.0, ("y", "bb"): 1.0},  # the first one wins: a tie
    **{("c", "z"): 0.4, ("z", "c"): 0.8},  # c loses in both: 0.4 and 0.2
}
ROWS = compared(("p", "a", "x"), ("q", "bb", "y"), ("q", "c", "z"))


def test_the_numbers_of_three_comparisons():
    annotator = Says(PREFERENCES)
    metrics = win_rate_metrics(annotator, ROWS, "ppo, iteration 2")
    assert len(annotator.seen) == 6
    # p: 1; q: (0.5 + 0.3) / 2 = 0.4; the mean of the two prompts 0.7, their s / sqrt(2) = 0.3
    assert metrics["win_rate"] == pytest.approx(0.7)
    assert metrics["win_rate_se"] == pytest.approx(0.3)
    assert metrics["win_rate/ties"] == pytest.approx(1 / 3)
    # the verdict changes with the order in the second alone
    assert metrics["win_rate/position_bias"] == pytest.approx(1 / 3)
    # for whoever stands first: 1, 1, 0.4 and 0, 1, 0.8
    assert metrics["win_rate/first_place"] == pytest.approx(4.2 / 6)
    assert "win_rate/unanswered" not in metrics
    assert {name.removesuffix("_se") for name in metrics} <= METRICS.keys()


def test_flips_pull_towards_a_half():
    given = in_both_orders(Says(PREFERENCES, flip=0.25), ROWS).mean
    # p + 0.25 (1 - 2 p): 1 -> 0.75, 0.5 -> 0.5, 0.3 -> 0.4
    assert given.tolist() == pytest.approx([0.75, 0.5, 0.4])


class OneOrder(Says):
    """As a judge that asks in both orders by itself: each of them is asked for once."""

    def shown_first(self, comparisons):
        return super().probabilities(comparisons)

    def probabilities(self, comparisons):
        raise AssertionError("it would ask four times")


def test_an_annotator_that_asks_in_both_orders_is_asked_for_each():
    annotator = OneOrder(PREFERENCES, flip=0.25)
    given = in_both_orders(annotator, ROWS)
    assert given.mean.tolist() == pytest.approx([0.75, 0.5, 0.4])
    assert len(annotator.seen) == 6


class Down(Simulated):
    def probabilities(self, comparisons):
        raise Unreachable("it does not answer")


def test_an_annotator_that_cannot_be_reached_costs_the_win_rate_alone(caplog):
    with caplog.at_level(logging.WARNING):
        assert win_rate_metrics(Down(), ROWS, "ppo, iteration 2") == {}
    assert "ppo, iteration 2: no win rate. it does not answer" in caplog.text


class Mumbles(Says):
    unanswered = 5

    def probabilities(self, comparisons):
        self.unanswered += 3
        return super().probabilities(comparisons)


def test_verdicts_that_nobody_could_read_are_counted():
    assert win_rate_metrics(Mumbles(PREFERENCES), ROWS, "")["win_rate/unanswered"] == 0.5
