import dataclasses
import logging

import pytest
import torch

from rlhf.annotators.base import Comparison, Simulated
from rlhf.annotators.endpoint.budget import Unreachable
from rlhf.annotators.pool import Pool
from rlhf.annotators.win_rates.measure import in_both_orders, win_rate_metrics
from rlhf.data.conversations import Prompt, asked
from rlhf.metrics import METRICS
from rlhf.rundir.errors import RunFailed


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
    given = in_both_orders(Says(PREFERENCES, flip=0.25), ROWS)[None].mean
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
    given = in_both_orders(annotator, ROWS)[None]
    assert given.mean.tolist() == pytest.approx([0.75, 0.5, 0.4])
    assert len(annotator.seen) == 6


def test_nobody_is_asked_about_two_answers_that_are_one():
    """They tie, and say nothing of the place."""
    annotator = Says(PREFERENCES)
    rows = [*ROWS[1:2], *compared(("p", "same", "same"))]
    metrics = win_rate_metrics(annotator, rows, "")
    assert annotator.seen == [("bb", "y"), ("y", "bb")]
    assert metrics["win_rate"] == 0.5 and metrics["win_rate/ties"] == 1.0
    assert metrics["win_rate/first_place"] == 1.0
    alone = win_rate_metrics(annotator, rows[1:], "")
    assert alone["win_rate/position_bias"] == 0.0 and alone["win_rate/first_place"] == 0.5
    assert len(annotator.seen) == 2
    # one that was cut off is another answer
    cut = dataclasses.replace(rows[1], first_ended=False)
    assert not cut.same and rows[1].same


def test_a_pool_shows_its_members_places():
    """Of a member that takes the mean of both orders by itself too: 2/3 of it, 1/3 of the other."""
    pool = Pool(
        {"judge": OneOrder(PREFERENCES, flip=0.25), "other": Says(PREFERENCES)}, {"judge": 2.0}
    )
    given = in_both_orders(pool, ROWS[2:])[None]
    # shown first 0.4 and 0.45, shown second 0.2 and 0.35
    assert given.policy_first.tolist() == pytest.approx([(2 * 0.45 + 0.4) / 3])
    assert given.policy_second.tolist() == pytest.approx([(2 * 0.35 + 0.2) / 3])


def test_each_member_of_a_pool_has_a_win_rate_of_its_own():
    """One of weight 0 decides nothing and is asked too, each of them once for both."""
    first = Says(dict.fromkeys(PREFERENCES, 1.0))  # whatever it says of places cancels
    pool = Pool({"usual": Says(PREFERENCES), "first": first}, {"first": 0.0})
    metrics = win_rate_metrics(pool, ROWS, "")
    assert metrics["win_rate"] == metrics["win_rate/of/usual"] == pytest.approx(0.7)
    assert metrics["win_rate/of/usual_se"] == pytest.approx(0.3)
    assert metrics["win_rate/of/first"] == 0.5
    assert metrics["win_rate/of/first/position_bias"] == 1.0
    assert "win_rate/of/first/length_controlled_se" in metrics
    assert "win_rate/of/first/unanswered" not in metrics
    assert len(first.seen) == len(pool.members["usual"].seen) == 6
    same = win_rate_metrics(pool, compared(("p", "same", "same")), "")
    assert same["win_rate/of/first"] == 0.5 and len(first.seen) == 6
    mumbles = Pool({"endpoint": Mumbles(PREFERENCES)})
    assert win_rate_metrics(mumbles, ROWS, "")["win_rate/of/endpoint/unanswered"] == 0.5


@pytest.mark.parametrize("given", [[0.5, 0.5], [[0.5]] * 6, [float("nan")] * 6])
def test_preferences_that_are_none_are_refused(given):
    class Wrong(Simulated):
        def prefer(self, comparisons, generator):
            return torch.tensor(given)

    with pytest.raises(RunFailed, match="annotator=simulated gave"):
        win_rate_metrics(Wrong(), ROWS, "")


class Down(Simulated):
    def probabilities(self, comparisons):
        raise Unreachable("it does not answer")


def test_an_annotator_that_cannot_be_reached_costs_the_win_rate_alone(caplog):
    with caplog.at_level(logging.WARNING):
        assert win_rate_metrics(Down(), ROWS, "ppo, iteration 2") == {}
    assert "ppo, iteration 2: no win rate. it does not answer" in caplog.text


def test_members_of_a_pool_that_can_be_reached_keep_their_win_rates(caplog):
    """The pool keeps its own where the one that is down has no weight."""
    members = {"usual": Says(PREFERENCES), "down": Down()}
    with caplog.at_level(logging.WARNING):
        beside = win_rate_metrics(Pool(members, {"down": 0.0}), ROWS, "ppo, iteration 2")
        half = win_rate_metrics(Pool(members), ROWS, "ppo, iteration 3")
    assert beside["win_rate"] == beside["win_rate/of/usual"] == pytest.approx(0.7)
    assert half["win_rate/of/usual"] == pytest.approx(0.7)
    assert "win_rate" not in half and "win_rate/of/down" not in {*beside, *half}
    assert "iteration 2: no win rate of down. it does not answer" in caplog.text
    assert "iteration 2: no win rate. " not in caplog.text
    assert "iteration 3: no win rate. it does not answer" in caplog.text


class Mumbles(Says):
    unanswered = 5

    def probabilities(self, comparisons):
        self.unanswered += 3
        return super().probabilities(comparisons)


def test_verdicts_that_nobody_could_read_are_counted():
    assert win_rate_metrics(Mumbles(PREFERENCES), ROWS, "")["win_rate/unanswered"] == 0.5
