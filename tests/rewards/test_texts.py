import pytest
import torch

from rlhf.rewards import texts
from rlhf.rewards.texts import TextScorer, rows_of


class Counting(TextScorer):
    """The length of a text; writes down how many rows each batch had."""

    def __init__(self, **rules):
        super().__init__(metric="counting", **rules)
        self.batches = []

    def numbers(self, rows, device):
        self.batches.append(len(rows))
        return [float(len(row.response)) for row in rows]


def test_rows_go_in_batches(responses_of):
    scorer = Counting(batch_size=2)
    assert scorer(responses_of(["a", "bb", "ccc", "dd", "e"])).tolist() == [1, 2, 3, 2, 1]
    assert scorer.batches == [2, 2, 1]


def test_a_score_is_asked_once_for_one_rollout(responses_of):
    responses, scorer = responses_of(["a", "bb"]), Counting()
    assert scorer.measures(responses)["counting"].tolist() == scorer(responses).tolist()
    assert scorer.batches == [2]
    scorer(responses_of(["a", "bb"]))
    assert scorer.batches == [2, 2]


def test_a_pure_scorer_is_not_asked_twice_for_a_row(responses_of):
    scorer = Counting(pure=True)
    prompts = ["p", "p", "q", "p"]
    assert scorer(responses_of(["a", "a", "a", "bb"], prompts)).tolist() == [1, 1, 1, 2]
    assert scorer.batches == [3]
    assert scorer(responses_of(["bb", "ccc"], ["p", "p"])).tolist() == [2, 3]
    assert scorer.batches == [3, 1]
    with_reference = responses_of(["a"], ["p"], references=["another row"])
    assert scorer(with_reference).tolist() == [1]
    assert scorer.batches == [3, 1, 1]


def test_the_cache_is_bounded(responses_of, monkeypatch):
    """Of four rows two are kept: those that were asked for last."""
    monkeypatch.setattr(texts, "CACHED", 2)
    scorer = Counting(pure=True)
    scorer(responses_of(["a", "bb", "ccc", "dddd"]))
    assert sorted(scorer.known.values()) == [3.0, 4.0]


def test_rows_have_all_there_is(responses_of):
    (row,) = rows_of(responses_of(["yes"], ["really?"], references=["no"]))
    assert (row.prompt, row.response, row.reference) == ("really?", "yes", "no")
    assert [tuple(turn) for turn in row.turns] == [("user", "really?")]


def test_scores_stand_where_the_rollout_does(responses_of):
    responses = responses_of(["a"])
    assert Counting()(responses).device == responses.rollout.tokens.device
    assert Counting()(responses).dtype == torch.float32


@pytest.mark.parametrize("pure", [True, False])
def test_pure_or_not_the_scores_are_the_same(responses_of, pure):
    rows = responses_of(["a", "bb", "a", "a"], ["p"] * 4)
    assert Counting(pure=pure)(rows).tolist() == [1, 2, 1, 1]
