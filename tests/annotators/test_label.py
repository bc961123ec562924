import math

import pytest
import torch

from rlhf.annotators.base import Live
from rlhf.annotators.label import label, label_anew
from rlhf.annotators.pool import Pool
from rlhf.annotators.preference import GoldAnnotator
from rlhf.data.conversations import asked
from rlhf.data.labelling import Response, label_pairs
from rlhf.rundir.errors import RunFailed
from tests.turns import preference, prompts


def length(prompts, responses):
    return [float(len(response)) for response in responses]


def annotator(**arguments):
    return GoldAnnotator(**arguments).bind(Live(gold=length))


def labels(by, first, second, **more):
    sides = [[Response(text) for text in side] for side in (first, second)]
    return label(by, prompts(*["p"] * len(first)), *sides, **{"seed": 0, **more})


def test_gold_labels_as_the_data_does():
    """The same draws: the labels of pairs are those that `label_pairs` gives by gold."""
    first, second = ["a", "aaa", "aa", "x"] * 50, ["aa", "a", "b", "x"] * 50
    for ties in (True, False):
        own = labels(annotator(temperature=0.7), first, second, seed=5, ties=ties)
        given = {"temperature": 0.7, "seed": 5, "ties": ties}
        assert own == label_pairs([asked("p")] * 200, first, second, length, **given)
        assert len(own) == 150


def test_more_noise_changes_those_labels_alone_that_it_changes():
    """A fifth is flipped of what was sure: the others keep their labels."""
    n = 2000
    first, second = ["a"] * n, ["aa"] * n
    noisy = labels(annotator(temperature=0, flip=0.2), first, second)
    noisier = labels(annotator(temperature=0, flip=0.4), first, second)
    wrong, more = ([pair.chosen == "a" for pair in each] for each in (noisy, noisier))
    assert abs(sum(wrong) / n - 0.2) < 4 * math.sqrt(0.2 * 0.8 / n)
    assert all(also for was, also in zip(wrong, more, strict=True) if was)


def test_a_label_depends_on_the_seed_and_the_pairs_up_to_it():
    first, second = ["a", "aa"] * 40, ["aa", "a"] * 40
    every = labels(annotator(temperature=1.0), first, second, seed=3)
    assert labels(annotator(temperature=1.0), first[:50], second[:50], seed=3) == every[:50]
    assert labels(annotator(temperature=1.0), first, second, seed=4) != every
    pool = Pool({"a": annotator(temperature=1.0), "b": annotator(temperature=9.0)})
    every = labels(pool, first, second, seed=3)
    assert labels(pool, first[:50], second[:50], seed=3) == every[:50]
    assert labels(pool, first, second, seed=4) != every


def test_a_response_that_was_cut_off_is_another():
    sides = [Response("a", ended=False)], [Response("a")]
    (pair,) = label(annotator(temperature=1.0), prompts("p"), *sides, seed=0)
    assert {pair.chosen_ended, pair.rejected_ended} == {True, False}


def test_own_labels_are_not_seen():
    """The longer one is chosen whatever the label was, with a draw for who is shown first."""
    shown = []

    class First:
        """Always prefers the one that it is shown first."""

        name = "first"

        def prefer(self, comparisons, generator):
            shown.extend(comparisons)
            return torch.ones(len(comparisons), dtype=torch.float64)

    pairs = [preference("p", "a", "aa"), preference("p", "aaa", "a", margin=2.0)] * 200
    assert label_anew(annotator(temperature=0), pairs, seed=0) == tuple(
        [preference("p", "aa", "a"), preference("p", "aaa", "a")] * 200
    )
    kept = sum(
        new.chosen == old.chosen
        for new, old in zip(label_anew(First(), pairs, seed=0), pairs, strict=True)
    )
    assert abs(kept / 400 - 0.5) < 4 * math.sqrt(0.25 / 400)
    assert len(shown) == 400


def test_pairs_that_say_nothing():
    asked_of = []

    class Counting:
        name = "counting"

        def prefer(self, comparisons, generator):
            asked_of.extend(comparisons)
            return torch.full((len(comparisons),), 0.5, dtype=torch.float64)

    assert labels(Counting(), ["a", "b"], ["a", "c"], ties=False) == ()
    assert len(asked_of) == 1  # equal ones are not asked about
    assert len(labels(Counting(), ["a", "b"], ["a", "c"])) == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([1.0, 0.0], r"annotator=own gave numbers of the shape \(2,\) for 1 comparisons"),
        ([1.5], "annotator=own gave the preference 1.5: expected 1 for the first"),
        ([float("nan")], "gave the preference nan"),
    ],
)
def test_an_annotator_of_ones_own_that_gives_something_else(given, sentence):
    class Own:
        name = "own"

        def prefer(self, comparisons, generator):
            return torch.tensor(given)

    with pytest.raises(RunFailed, match=sentence):
        labels(Own(), ["a"], ["b"])
