import pytest
import torch
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from rlhf.rewards.rules import (
    AnswerMatchScorer,
    JsonScorer,
    LengthScorer,
    RegexScorer,
    VaderScorer,
)
from rlhf.rundir.errors import RunFailed


def scores(scorer, responses):
    return scorer(responses).tolist()


def test_vader_reads_the_response_alone(responses_of):
    """0.6249 is VADER's compound of "great": 3.1 / sqrt(3.1^2 + 15)."""
    texts, prompts = ["great", "awful", "a table"], ["awful", "great", "great"]
    given = scores(VaderScorer(), responses_of(texts, prompts))
    assert given == pytest.approx([3.1 / (3.1**2 + 15) ** 0.5, -0.4588, 0.0], abs=1e-4)
    compound = SentimentIntensityAnalyzer().polarity_scores("great")["compound"]
    assert given[0] == pytest.approx(compound)


def test_answer_match(responses_of):
    responses = responses_of(
        ["so 18 eggs", "#### 17", "Eighteen"], references=["9 * 2 = 18\n#### 18"] * 3
    )
    assert scores(AnswerMatchScorer(), responses) == [1.0, 0.0, 0.0]
    assert scores(AnswerMatchScorer("exact", 2.0, -1.0), responses) == [-1.0, -1.0, -1.0]
    assert scores(AnswerMatchScorer("numeric", 2.0, -1.0), responses) == [2.0, -1.0, -1.0]
    with pytest.raises(RunFailed, match="the prompt 'prompt 0' has none"):
        scores(AnswerMatchScorer(), responses_of(["18"]))


def test_length(responses_of):
    """Tokens without the one that stops: 4, 9 and, never ended, 10 of them; the target is 5."""
    responses = responses_of(["a b", "", "abc"], tokens=[5, 10, 10], ended=[True, True, False])
    assert scores(LengthScorer(5, 0.5), responses) == [-0.5, -2.0, -2.5]
    assert scores(LengthScorer(5, 0.5, side="above"), responses) == [0.0, -2.0, -2.5]
    assert scores(LengthScorer(5, 0.5, side="below"), responses) == [-0.5, 0.0, 0.0]
    assert scores(LengthScorer(2, 1.0, "words"), responses) == [0.0, -2.0, -1.0]
    assert scores(LengthScorer(2, 1.0, "characters"), responses) == [-1.0, -2.0, -1.0]


def test_regex(responses_of):
    responses = responses_of(["call 555-1234 now", "555-1234", "no"])
    pattern = r"\d{3}-\d{4}"
    assert scores(RegexScorer(pattern), responses) == [1.0, 1.0, 0.0]
    assert scores(RegexScorer(pattern, "full", 2.0, -1.0), responses) == [-1.0, 2.0, -1.0]


@pytest.mark.parametrize("pattern", ["(", "[", "*a", ""])
def test_a_pattern_that_is_none(pattern):
    with pytest.raises(ValueError, match="pattern"):
        RegexScorer(pattern)


def test_a_pattern_that_backtracks_without_end(responses_of):
    """(a|aa)+$ on 60 letters tries some 10^12 ways: it is stopped, and the process goes on."""
    scorer = RegexScorer(r"^(a|aa)+$", timeout=0.2)
    with pytest.raises(RunFailed, match=r"took more than 0.2 s for the response 'aaaa.*raise"):
        scores(scorer, responses_of(["a" * 60 + "b"]))


@pytest.mark.parametrize(
    ("text", "valid", "with_keys"),
    [
        ('{"a": 1, "b": [2]}', 1.0, 1.0),
        (' {"a": 1} ', 1.0, 0.0),
        ("[1, 2]", 1.0, 0.0),
        ('"a b"', 1.0, 0.0),
        ('{"a": NaN}', 0.0, 0.0),
        ('{"a": 1', 0.0, 0.0),
        ('Here: {"a": 1}', 0.0, 0.0),
        ("", 0.0, 0.0),
        ("[" * 100_000, 0.0, 0.0),
        ("9" * 5000, 0.0, 0.0),
    ],
)
def test_json(responses_of, text, valid, with_keys):
    responses = responses_of([text])
    assert scores(JsonScorer(), responses) == [valid]
    assert scores(JsonScorer(["a", "b"]), responses) == [with_keys]
    assert scores(JsonScorer(valid=0.5, invalid=-3.0), responses) == [0.5 if valid else -3.0]


def test_the_rules_of_all_scorers(responses_of):
    """One that never ended has -9 for its score; training sees 2 at most."""
    rules = {"missing_eos": "set", "missing_eos_value": -9.0, "reward_clip": 2.0}
    scorer = JsonScorer(valid=5.0, **rules)
    given = scorer(responses_of(["1", "1"], ended=[True, False]))
    assert given.tolist() == [5.0, -9.0]
    assert scorer.clip(given).tolist() == [2.0, -2.0]


def test_the_score_is_shown_by_its_name(responses_of):
    responses = responses_of(["1", "x"], ended=[True, False])
    scorer = JsonScorer(missing_eos="set", missing_eos_value=-9.0)
    assert {k: v.tolist() for k, v in scorer.measures(responses).items()} == {"json": [1.0, 0.0]}
    assert torch.equal(scorer(responses), torch.tensor([1.0, -9.0]))
