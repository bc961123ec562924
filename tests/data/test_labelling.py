import math

import pytest

from rlhf.data.conversations import asked
from rlhf.data.labelling import Response, label_pairs, preferred
from rlhf.data.records import DataError
from tests.turns import preference


def length(prompts, responses):
    return [float(len(response)) for response in responses]


def test_preferred_is_the_logistic_function():
    assert preferred(1.0, 0.5) == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert preferred(0.0, 0.5) == 0.5
    assert preferred(-1e9, 0.5) == pytest.approx(0.0, abs=1e-300)
    assert [preferred(d, 0) for d in (-0.1, 0.0, 0.1)] == [0.0, 0.5, 1.0]


def test_at_temperature_zero_the_better_is_always_taken():
    pairs = label_pairs([asked("p")] * 2, ["a", "aaa"], ["aa", "a"], length, temperature=0, seed=0)
    assert pairs == (
        preference("p", "aa", "a"),
        preference("p", "aaa", "a"),
    )


def test_share_of_the_better_is_that_of_bradley_terry():
    n = 4000
    pairs = label_pairs([asked("p")] * n, ["a"] * n, ["aa"] * n, length, temperature=1.0, seed=0)
    share = sum(pair.chosen == "aa" for pair in pairs) / n
    p = 1 / (1 + math.exp(-1.0))
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_equal_responses_are_left_out_and_other_labels_stay():
    first, second = ["a", "x", "aa"] * 50, ["aa", "x", "a"] * 50
    pairs = label_pairs([asked("p")] * 150, first, second, length, temperature=1.0, seed=3)
    second[1] = "y"
    more = label_pairs([asked("p")] * 150, first, second, length, temperature=1.0, seed=3)
    assert len(pairs) == 100
    assert [pair for pair in more if pair.chosen in ("a", "aa")] == list(pairs)
    assert label_pairs([asked("p")] * 150, first, second, length, temperature=1.0, seed=4) != more


def test_a_response_that_was_cut_off_keeps_that():
    (pair,) = label_pairs(
        [asked("p")], [Response("a", ended=False)], ["aa"], length, temperature=0, seed=0
    )
    assert (pair.chosen, pair.chosen_ended, pair.rejected, pair.rejected_ended) == (
        "aa",
        True,
        "a",
        False,
    )


def test_ties_are_coin_flips_or_left_out():
    pairs = label_pairs(
        [asked("p")] * 200, ["a"] * 200, ["b"] * 200, length, temperature=0.1, seed=0
    )
    assert 60 < sum(pair.chosen == "a" for pair in pairs) < 140
    assert (
        label_pairs(
            [asked("p")] * 200,
            ["a"] * 200,
            ["b"] * 200,
            length,
            temperature=0.1,
            seed=0,
            ties=False,
        )
        == ()
    )


def test_a_gold_reward_that_is_no_number_labels_nothing():
    def gold(prompts, responses):
        return [math.nan if r == "b" else math.inf if r == "c" else 0.0 for r in responses]

    with pytest.raises(DataError) as error:
        label_pairs(
            [asked(x) for x in ["p", "q"]], ["a", "b"], ["c", "a"], gold, temperature=1.0, seed=0
        )
    assert error.value.faults == [
        "the gold reward of 'b' to 'q' is nan: expected a finite number",
        "the gold reward of 'c' to 'p' is inf: expected a finite number",
    ]
