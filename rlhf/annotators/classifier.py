"""A sequence classifier, or a reward model of somebody else's, as an annotator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from rlhf.annotators.base import Answer, Live
from rlhf.annotators.preference import BradleyTerry
from rlhf.rewards.classifier import ClassifierScorer
from rlhf.rewards.texts import Row


class ClassifierAnnotator(BradleyTerry):
    """Bradley-Terry on what a Hugging Face classifier says of each answer (`ClassifierScorer`).

    Args:
        path, label, score, text, max_length, batch_size: as of scorer=classifier.

    Raises:
        ModelError: the model cannot be had, or has no such label.
    """

    name = "classifier"

    def __init__(
        self,
        path: str,
        label: int | str | None = None,
        score: Literal["logit", "log_prob", "probability"] = "logit",
        text: str | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
        temperature: float = 1.0,
        flip: float = 0.0,
        length_weight: float = 0.0,
    ) -> None:
        super().__init__(temperature, flip, length_weight)
        own: dict[str, Any] = {"text": text, "max_length": max_length, "batch_size": batch_size}
        self.scorer = ClassifierScorer(path, label, score, **own)
        self.device = torch.device("cpu")

    def take(self, live: Live) -> None:
        self.device = live.device

    def prepare(self) -> None:
        self.scorer.prepare()

    def identity(self) -> Any:
        return self.scorer.identity()

    def scores(self, answers: Sequence[Answer]) -> Tensor:
        rows = [
            Row(each.prompt.text, each.text, each.prompt.reference, each.prompt.turns)
            for each in answers
        ]
        return torch.tensor(self.scorer.read(rows, self.device), dtype=torch.float64)
