"""Bradley-Terry on a score: probabilities that are worked by hand."""

import math

import pytest
import torch

from rlhf.annotators.base import Answer, Comparison, Live
from rlhf.annotators.preference import GoldAnnotator, RewardModelAnnotator
from rlhf.data.conversations import Prompt, asked
from rlhf.data.records import DataError
from rlhf.randomness import generator
from rlhf.rundir.errors import RunFailed

PROMPT = Prompt(turns=asked("p"))


def gold(prompts, responses):
    """The number that a response is; its spaces do not count."""
    return [float(response) for response in responses]


LIVE = Live(gold=gold, label_temperature=2.0)


def pair(first, second):
    return Comparison(prompt=PROMPT, first=first, second=second)


def probability(annotator, first, second, live=LIVE):
    return annotator.bind(live).prefer([pair(first, second)], None).item()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_probability_at_known_differences():
    """sigmoid((3 - 1) / 0.5) = sigmoid(4) = 0.98201..."""
    annotator = GoldAnnotator(temperature=0.5)
    assert probability(annotator, "3", "1") == pytest.approx(0.9820137900379085)
    assert probability(annotator, "1", "3") == pytest.approx(1 - 0.9820137900379085)
    assert probability(annotator, "2", "2") == 0.5


def test_without_a_temperature_it_is_that_of_the_data():
    assert probability(GoldAnnotator(), "3", "1") == pytest.approx(sigmoid(1.0))
    assert probability(GoldAnnotator(temperature=1.0), "3", "1") == pytest.approx(sigmoid(2.0))


def test_temperature_zero_gives_hard_votes_and_a_low_one_goes_there():
    answers = [("1", "1.001"), ("1", "1"), ("2", "1")]
    assert [probability(GoldAnnotator(temperature=0), *each) for each in answers] == [0, 0.5, 1]
    low = [probability(GoldAnnotator(temperature=1e-6), *each) for each in answers]
    assert low == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(("flip", "expected"), [(0.0, 1.0), (0.25, 0.75), (0.5, 0.5), (1.0, 0.0)])
def test_a_share_of_the_votes_says_the_opposite(flip, expected):
    assert probability(GoldAnnotator(temperature=0, flip=flip), "2", "1") == expected


def test_flip_at_a_temperature():
    """0.75 p + 0.25 (1 - p), p = sigmoid(2)."""
    p = sigmoid(2.0)
    annotator = GoldAnnotator(temperature=1.0, flip=0.25)
    assert probability(annotator, "3", "1") == pytest.approx(0.75 * p + 0.25 * (1 - p))


def test_length_counts_by_characters():
    """1 against "2   ": gold 2 - 1, and three characters more at 0.5 each."""
    annotator = GoldAnnotator(temperature=1.0, length_weight=0.5)
    assert probability(annotator, "2   ", "1") == pytest.approx(sigmoid(1 + 3 * 0.5))
    assert probability(annotator, "1", "2   ") == pytest.approx(sigmoid(-1 - 3 * 0.5))
    brief = GoldAnnotator(temperature=1.0, length_weight=-1 / 3)
    assert probability(brief, "2   ", "1") == pytest.approx(0.5)


def test_votes_have_the_probability_and_are_of_the_generator_and_the_position():
    annotator, n = GoldAnnotator(temperature=1.0).bind(LIVE), 4000
    votes = annotator.prefer([pair("2", "1")] * n, generator(0, "votes"))
    assert {*votes.tolist()} == {0.0, 1.0} and votes.dtype == torch.float64
    p = sigmoid(1.0)
    assert abs(votes.mean().item() - p) < 4 * math.sqrt(p * (1 - p) / n)
    fewer = annotator.prefer([pair("2", "1")] * 100, generator(0, "votes"))
    assert torch.equal(fewer, votes[:100])
    assert not torch.equal(annotator.prefer([pair("2", "1")] * n, generator(1, "votes")), votes)


def test_global_random_numbers_are_left_alone():
    before = torch.get_rng_state()
    GoldAnnotator().bind(LIVE).prefer([pair("2", "1")] * 8, generator(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_binding_leaves_the_annotator_as_it_was():
    annotator = GoldAnnotator()
    annotator.bind(LIVE)
    with pytest.raises(ValueError, match="needs data with a gold reward"):
        annotator.prefer([pair("2", "1")], None)


def test_without_gold_or_a_reward_model():
    with pytest.raises(DataError, match="annotator=gold: the data has no gold reward"):
        GoldAnnotator().bind(Live())
    with pytest.raises(DataError, match="annotator=reward_model: there is no reward model"):
        RewardModelAnnotator().bind(Live())


def test_the_reward_model_is_read_once_for_all_answers():
    asked_for = []

    def scores(answers):
        asked_for.append(answers)
        return torch.tensor([float(each.text) for each in answers], dtype=torch.float32)

    annotator = RewardModelAnnotator(temperature=2.0).bind(Live(reward_model=scores))
    cut = Comparison(prompt=PROMPT, first="3", second="2", second_ended=False)
    given = annotator.prefer([cut, pair("0", "0")], None)
    assert given.tolist() == pytest.approx([sigmoid(0.5), 0.5])
    assert asked_for == [
        [
            Answer(PROMPT, "3"),
            Answer(PROMPT, "0"),
            Answer(PROMPT, "2", ended=False),
            Answer(PROMPT, "0"),
        ]
    ]


def test_a_score_that_is_no_number():
    with pytest.raises(RunFailed, match="annotator=gold: the score of 'nan' is nan: expected a"):
        probability(GoldAnnotator(), "1", "nan")


def test_no_comparisons():
    assert GoldAnnotator().bind(LIVE).prefer([], generator(0)).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"flip": 1.1}, "flip must be a number from 0 to 1, got 1.1"),
        ({"flip": float("nan")}, "flip must be"),
        ({"temperature": -1.0}, "temperature must be a finite number of 0 or more"),
        ({"length_weight": float("inf")}, "length_weight must be a finite number"),
    ],
)
def test_arguments_that_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        GoldAnnotator(**arguments)


def test_swapped():
    cut = Comparison(prompt=PROMPT, first="a", second="b", second_ended=False)
    assert cut.swapped == Comparison(prompt=PROMPT, first="b", second="a", first_ended=False)
    assert cut.swapped.swapped == cut
