"""Annotators that have a score for each answer and prefer by the difference of two."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf.annotators.base import Answer, Comparison, Live, Simulated
from rlhf.annotators.checks import finite, not_negative
from rlhf.data.labelling import preferred
from rlhf.data.records import DataError
from rlhf.rundir.errors import RunFailed

SHOWN = 60  # characters of an answer in a message


class BradleyTerry(Simulated):
    """P(first) = sigmoid((s(first) - s(second) + length_weight * (len(first) - len(second))) /
    temperature), flipped with a probability; len counts characters.

    Args:
        temperature: in units of the score; 0: the better one is always preferred, and equals tie.
        flip: the share of votes that say the opposite.
        length_weight: units of the score that a character more is worth; below 0: shorter ones are
            preferred.
    """

    def __init__(
        self, temperature: float = 1.0, flip: float = 0.0, length_weight: float = 0.0
    ) -> None:
        super().__init__(flip)
        self.temperature = not_negative("temperature", temperature)
        self.length_weight = finite("length_weight", length_weight)

    def scores(self, answers: Sequence[Answer]) -> Tensor:
        """[N]: the score of each answer."""
        raise NotImplementedError

    def probabilities(self, comparisons: Sequence[Comparison]) -> Tensor:
        sides = [*zip(*(comparison.answers for comparison in comparisons), strict=True)]
        answers = [*sides[0], *sides[1]]
        scores = self.scores(answers).double().cpu()
        whole = scores.isfinite().tolist()
        if not all(whole):
            at = whole.index(False)
            start = answers[at].text[:SHOWN]
            raise RunFailed(
                f"annotator={self.name}: the score of {start!r} is {float(scores[at])}: expected a"
                " finite number"
            )
        lengths = torch.tensor([len(answer.text) for answer in answers], dtype=torch.float64)
        first, second = (scores + self.length_weight * lengths).chunk(2)
        differences = (first - second).tolist()
        every = [preferred(difference, self.temperature) for difference in differences]
        return torch.tensor(every, dtype=torch.float64)


class GoldAnnotator(BradleyTerry):
    """Bradley-Terry on the data's gold reward.

    Args:
        temperature: None: the data's `label_temperature`.
    """

    name, needs_gold = "gold", True

    def __init__(
        self, temperature: float | None = None, flip: float = 0.0, length_weight: float = 0.0
    ) -> None:
        super().__init__(1.0 if temperature is None else temperature, flip, length_weight)
        self.of_the_data, self.live = temperature is None, Live()

    def take(self, live: Live) -> None:
        if live.gold is None:
            raise DataError(
                "annotator=gold: the data has no gold reward; set data.gold, or take another"
                " annotator"
            )
        self.live = live
        if self.of_the_data:
            self.temperature = live.label_temperature

    def scores(self, answers: Sequence[Answer]) -> Tensor:
        if self.live.gold is None:
            raise ValueError("annotator=gold needs data with a gold reward")
        prompts, texts = [each.prompt.text for each in answers], [each.text for each in answers]
        return torch.tensor(self.live.gold(prompts, texts), dtype=torch.float64)


class RewardModelAnnotator(BradleyTerry):
    """Bradley-Terry on the scores of the run's reward model, which are normalised."""

    name, needs_reward_model = "reward_model", True

    def __init__(
        self, temperature: float = 1.0, flip: float = 0.0, length_weight: float = 0.0
    ) -> None:
        super().__init__(temperature, flip, length_weight)
        self.live = Live()

    def take(self, live: Live) -> None:
        if live.reward_model is None:
            raise DataError("annotator=reward_model: there is no reward model to ask")
        self.live = live

    def scores(self, answers: Sequence[Answer]) -> Tensor:
        if self.live.reward_model is None:
            raise ValueError("annotator=reward_model needs a reward model")
        return self.live.reward_model(answers)
