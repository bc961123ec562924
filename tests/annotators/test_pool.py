import pytest
import torch

from rlhf.annotators.base import Comparison, Live
from rlhf.annotators.pool import Pool
from rlhf.annotators.preference import GoldAnnotator, RewardModelAnnotator
from rlhf.data.conversations import Prompt, asked
from rlhf.randomness import generator

PROMPT = Prompt(turns=asked("p"))


class Sure:
    """An annotator of one's own, without a base: always of one opinion."""

    name = "sure"

    def __init__(self, opinion):
        self.opinion, self.asked = opinion, 0

    def prefer(self, comparisons, generator):
        self.asked += len(comparisons)
        return torch.full((len(comparisons),), self.opinion, dtype=torch.float64)


def pairs(n):
    return [Comparison(prompt=PROMPT, first=str(i), second="0") for i in range(n)]


def pool(weights=None, flip=0.0):
    return Pool({"one": Sure(1.0), "none": Sure(0.0)}, weights, flip)


def test_without_a_generator_it_is_the_weighted_mean():
    """(3 * 1 + 1 * 0) / 4; a quarter flipped: 0.75 * 0.75 + 0.25 * 0.25."""
    assert pool({"one": 3.0}).prefer(pairs(2), None).tolist() == [0.75, 0.75]
    assert pool({"one": 3.0}, flip=0.25).prefer(pairs(1), None).item() == 0.75**2 + 0.25**2


def test_each_comparison_is_asked_of_one():
    both, n = pool({"one": 3.0}), 4000
    votes = both.prefer(pairs(n), generator(0))
    asked_of = [member.asked for member in both.members.values()]
    assert sum(asked_of) == n and votes.sum() == asked_of[0]
    assert abs(asked_of[0] / n - 0.75) < 4 * (0.75 * 0.25 / n) ** 0.5


def test_a_member_of_weight_zero_is_not_asked():
    both = pool({"none": 0.0})
    assert both.prefer(pairs(200), generator(0)).tolist() == [1.0] * 200
    assert both.members["none"].asked == 0


def test_flips_are_of_the_whole():
    votes = pool({"none": 0.0}, flip=0.25).prefer(pairs(4000), generator(0))
    assert abs(votes.mean().item() - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5


def test_more_comparisons_leave_the_votes_before_them():
    members = {"warm": GoldAnnotator(temperature=5.0), "hot": GoldAnnotator(temperature=50.0)}
    live = Live(gold=lambda prompts, responses: [float(response) for response in responses])
    both = Pool(members, {"hot": 2.0}, flip=0.1).bind(live)
    votes = both.prefer(pairs(40), generator(3))
    assert torch.equal(both.prefer(pairs(25), generator(3)), votes[:25])
    assert torch.equal(both.prefer(pairs(40), generator(3)), votes)
    assert not torch.equal(both.prefer(pairs(40), generator(4)), votes)


def test_it_needs_what_its_members_need():
    assert Pool({"a": GoldAnnotator()}).needs_gold
    assert not Pool({"a": GoldAnnotator()}).needs_reward_model
    assert Pool({"a": GoldAnnotator(), "b": RewardModelAnnotator()}).needs_reward_model
    assert not pool().needs_gold


@pytest.mark.parametrize(
    ("members", "weights", "sentence"),
    [
        ({}, {}, "members has none; add one by"),
        ({"a": Sure(1.0)}, {"b": 1.0}, "weights.b is the weight of no member; there are a"),
        ({"a": Sure(1.0)}, {"a": 0.0}, "weights are all 0"),
        ({"a": Sure(1.0)}, {"a": -1.0}, "weights.a is -1: expected 0 or more"),
    ],
)
def test_members_and_weights_that_do_not_go_together(members, weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        Pool(members, weights)
