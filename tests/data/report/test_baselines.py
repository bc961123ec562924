"""Rules without a model, on pairs that are few enough to count."""

import random

import pytest

from rlhf.data.records import Split
from rlhf.data.report.baselines import accuracy, length_bias, longer, with_tfidf
from rlhf.data.report.measure import conversation
from tests.turns import preference


def test_the_longer_side_wins_and_a_tie_is_half():
    sides = [("aa", "b"), ("a", "bb"), ("a", "b")]
    assert [longer(conversation(preference("p", *pair))) for pair in sides] == [1.0, 0.0, 0.5]


def test_an_accuracy_has_the_error_of_its_prompts():
    """1, 1, 0, 1/2 of prompts p, p, q, r: mean 5/8; residuals by prompt 3/4, -5/8, -1/8 have the
    squares 36/64, 25/64, 1/64, in all 62/64; times 3/2, its root, by 4 pairs."""
    measured = accuracy([1.0, 1.0, 0.0, 0.5], ["p", "p", "q", "r"])
    assert (measured.accuracy, measured.pairs, measured.prompts) == (0.625, 4, 3)
    assert measured.se == pytest.approx((1.5 * 62 / 64) ** 0.5 / 4)
    assert accuracy([1.0, 0.0], ["p", "p"]).se is None
    assert accuracy([], []) is None


def test_length_bias_is_that_of_all_pairs_and_the_accuracy_that_of_held_out_ones():
    split = Split(
        train=(preference("a", "long", "s"), preference("a", "s", "long")),
        heldout=(preference("b", "long", "s"), preference("c", "s", "t")),
    )
    pairs = length_bias(split)
    assert (pairs.chosen_longer, pairs.rejected_longer) == (0.5, 0.25)
    assert pairs.longer_wins.accuracy == 0.75 and pairs.longer_wins.pairs == 2
    assert pairs.tfidf is None and pairs.fitted_on == 0


def labelled(count, seed, better):
    """Pairs whose chosen side has the word "good", or is the longer one."""
    rng, rows = random.Random(seed), []
    for i in range(count):
        words = rng.sample(["film", "plot", "cast", "song", "tale", "joke"], 4)
        chosen, rejected = " ".join(words[:2]), " ".join(words[2:])
        if better == "word":
            chosen, rejected = f"good {chosen}", f"dull {rejected}"
        else:
            chosen = " ".join([chosen] + ["film"] * rng.randint(1, 3))
            rejected = rejected if rng.random() < 0.9 else f"{rejected} film film film film"
        rows.append(preference(f"prompt {i % 20}", chosen, rejected))
    return tuple(rows)


def test_a_word_that_decides_is_learned_from_words_and_not_from_lengths():
    split = Split(train=labelled(60, 1, "word"), heldout=labelled(20, 2, "word"))
    pairs = with_tfidf(length_bias(split), split)
    assert pairs.tfidf.accuracy == 1.0 and pairs.fitted_on == 60
    assert pairs.longer_wins.accuracy < 0.8
    assert with_tfidf(length_bias(split), split) == pairs  # the same again


def test_lengths_help_where_they_decide():
    split = Split(train=labelled(80, 1, "length"), heldout=labelled(40, 2, "length"))
    pairs = with_tfidf(length_bias(split), split)
    assert pairs.tfidf_and_length.accuracy >= 0.85
    assert pairs.tfidf_and_length.accuracy >= pairs.tfidf.accuracy


def test_without_held_out_pairs_nothing_is_fitted():
    split = Split(train=labelled(4, 1, "word"), heldout=())
    pairs = length_bias(split)
    assert with_tfidf(pairs, split) == pairs and pairs.longer_wins is None
