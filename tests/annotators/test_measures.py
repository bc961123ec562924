import pytest
import torch

from rlhf.annotators.base import Comparison, Live
from rlhf.annotators.measures import agreement, position_bias
from rlhf.annotators.preference import GoldAnnotator
from rlhf.data.conversations import Prompt, asked

PAIRS = [
    Comparison(prompt=Prompt(turns=asked("p")), first=first, second=second)
    for first, second in (("a", "bb"), ("aaa", "b"))
]


def test_agreement_of_votes_is_the_share_that_agrees():
    votes = torch.tensor([1.0, 0.0, 1.0, 0.5], dtype=torch.float64)
    others = torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    assert agreement(votes, others).item() == (1 + 0 + 1 + 0.5) / 4


def test_agreement_of_probabilities():
    """Two draws of one annotator at 0.8: 0.8^2 + 0.2^2 = 0.68. One that flips a quarter agrees with
    itself in 0.75^2 + 0.25^2 = 0.625 of the sure cases."""
    p = torch.tensor([0.8], dtype=torch.float64)
    assert agreement(p, p).item() == pytest.approx(0.68)
    live = Live(gold=lambda prompts, responses: [float(len(text)) for text in responses])
    q = GoldAnnotator(temperature=0, flip=0.25).bind(live).prefer(PAIRS, None)
    assert q.tolist() == [0.25, 0.75] and agreement(q, q).item() == 0.625


def test_position_bias():
    class Lazy:
        """Takes the first with 0.9 whatever it is shown."""

        name = "lazy"

        def prefer(self, comparisons, generator):
            return torch.full((len(comparisons),), 0.9, dtype=torch.float64)

    assert position_bias(Lazy(), PAIRS).tolist() == pytest.approx([0.4, 0.4])
    live = Live(gold=lambda prompts, responses: [float(len(text)) for text in responses])
    fair = GoldAnnotator(temperature=0.5, length_weight=1.0).bind(live)
    assert position_bias(fair, PAIRS).tolist() == pytest.approx([0.0, 0.0])
