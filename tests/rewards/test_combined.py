import pytest
import torch

from rlhf.rewards.combined import CombinedScorer
from rlhf.rewards.ensemble import EnsembleScorer
from rlhf.rewards.rules import JsonScorer, LengthScorer, RegexScorer
from rlhf.rollout.score import GoldScorer, RewardModelScorer, judged


def parts():
    return {"valid": JsonScorer(valid=2.0, invalid=-1.0), "brief": LengthScorer(2, 0.5)}


def test_a_weighted_sum_with_its_parts(responses_of):
    """valid: 2, -1; brief: -0.5 * |tokens - 2| with 2 and 5 tokens: 0, -1.5."""
    responses = responses_of(["1", "x"], tokens=[3, 6])
    scorer = CombinedScorer(parts(), {"brief": 4.0})
    read, score = judged(scorer, responses)
    assert {name: values.tolist() for name, values in read.scores.items()} == {
        "valid": [2.0, -1.0],
        "brief": [0.0, -1.5],
        "combined": [2.0, -7.0],
    }
    assert score.tolist() == [2.0, -7.0]
    assert {*scorer.measured} == read.scores.keys()
    assert responses.scores == {}


def test_a_product(responses_of):
    """2^1 * 3^2 and 1^1 * (-1)^2."""
    rules = {"a": RegexScorer("x", hit=2.0, miss=1.0), "b": RegexScorer("y", hit=3.0, miss=-1.0)}
    scorer = CombinedScorer(rules, {"b": 2.0}, "product")
    assert scorer(responses_of(["xy", ""])).tolist() == [18.0, 1.0]


def test_rules_of_the_parts_and_of_the_whole(responses_of):
    """Each part is clipped to 1 and -4 where it never ended; then the whole has -9 there."""
    own = {"missing_eos": "set", "missing_eos_value": -4.0, "reward_clip": 1.0}
    responses = responses_of(["1", "1"], ended=[True, False])
    part = JsonScorer(valid=5.0, **own)
    scorer = CombinedScorer({"valid": part}, {"valid": 3.0})
    assert scorer(responses).tolist() == [3.0, -3.0]
    whole = CombinedScorer({"valid": part}, missing_eos="subtract", missing_eos_value=9.0)
    assert whole(responses).tolist() == [1.0, -10.0]


def test_judges_among_the_parts(responses_of):
    responses = responses_of(["a", "b"]).with_scores(
        {"proxy": torch.tensor([1.0, 2.0]), "gold": torch.tensor([10.0, 20.0])}
    )
    scorer = CombinedScorer({"model": RewardModelScorer(), "wish": GoldScorer()})
    assert scorer(responses).tolist() == [11.0, 22.0]
    assert scorer.needs_reward_model and scorer.needs_gold and not scorer.needs_references
    assert not CombinedScorer(parts()).needs_reward_model


def test_an_ensemble_among_the_parts(responses_of):
    """Members 1, 3 and 2, 6: mean 2, 4 and standard deviation 1, 2."""
    responses = responses_of(["a", "b"], tokens=[3, 4])
    object.__setattr__(responses, "members", torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    scorer = CombinedScorer({"models": EnsembleScorer(2), "brief": LengthScorer(2, 0.5)})
    read, score = judged(scorer, responses)
    assert {name: values.tolist() for name, values in read.scores.items()} == {
        "proxy": [2.0, 4.0],
        "disagreement": [1.0, 2.0],
        "models": [2.0, 4.0],
        "brief": [0.0, -0.5],
        "combined": [2.0, 3.5],
    }
    assert score.tolist() == [2.0, 3.5]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (({},), "parts has none; add one by"),
        ((parts(), {"brif": 1.0}), "weights.brif is the weight of no part; there are valid, brief"),
        ((parts(), {"brief": 0.5}, "product"), "weights.brief is 0.5, and in a product"),
        (({"gold": GoldScorer()},), "parts.gold reward/gold is the name of another number"),
        (({"a_se": GoldScorer()},), "parts.a_se"),
        ((parts(), {}, "mean"), "how must be sum or product, got 'mean'"),
        (({"a": EnsembleScorer(2), "b": EnsembleScorer(3)},), "parts.b and a are ensembles"),
    ],
)
def test_refusals(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        CombinedScorer(*arguments)
