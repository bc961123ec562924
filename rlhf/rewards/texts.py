"""The base of scorers that read texts: rows in batches, each worth a number, and known rows read
from a cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlhf.data.conversations import Turns
from rlhf.digests import digest
from rlhf.rollout.score import Responses, Scorer

CACHED = 2**16  # rows whose score is kept; the one that was not asked for longest goes first


class Row(NamedTuple):
    """A response as a scorer of texts sees it."""

    prompt: str
    response: str
    reference: str | None
    turns: Turns


def rows_of(responses: Responses) -> list[Row]:
    columns = (responses.prompts, responses.texts, responses.references, responses.turns)
    return [Row(*cells) for cells in zip(*columns, strict=True)]


class NamedScorer(Scorer):
    """A scorer whose score is shown as `reward/<metric>`."""

    def __init__(self, *, metric: str, **rules: Any) -> None:
        super().__init__(**rules)
        self.metric, self.measured = metric, (metric,)

    def rate(self, responses: Responses) -> Tensor:
        """[B] the scores, before the rule for responses that never ended."""
        raise NotImplementedError

    def score(self, responses: Responses) -> Tensor:
        return responses.once(self, self.rate)

    def measures(self, responses: Responses) -> dict[str, Tensor]:
        return {self.metric: self.score(responses)}


class TextScorer(NamedScorer):
    """One that reads texts, `batch_size` rows at a time.

    `pure`: a row's score follows from the row alone, so a row that was scored before is not scored
    again (the last 65,536 are kept, by the sha256 of their content).
    """

    needs_references = False

    def __init__(
        self, *, metric: str, batch_size: int = 64, pure: bool = False, **rules: Any
    ) -> None:
        super().__init__(metric=metric, **rules)
        self.batch_size, self.pure = batch_size, pure
        self.known: OrderedDict[str, float] = OrderedDict()

    def numbers(self, rows: Sequence[Row], device: torch.device) -> list[float]:
        """The score of each row of a batch. `device`: the run's."""
        raise NotImplementedError

    def rate(self, responses: Responses) -> Tensor:
        device = responses.rollout.tokens.device
        scores = self.read(rows_of(responses), device)
        return torch.tensor(scores, dtype=torch.float32, device=device)

    def read(self, rows: Sequence[Row], device: torch.device) -> list[float]:
        """The score of each of any number of rows."""
        return self._kept(rows, device) if self.pure else [*self._fresh(rows, device)]

    def _fresh(self, rows: Sequence[Row], device: torch.device) -> Iterator[float]:
        for start in range(0, len(rows), self.batch_size):
            yield from self.numbers(rows[start : start + self.batch_size], device)

    def _kept(self, rows: Sequence[Row], device: torch.device) -> list[float]:
        keys = [digest(row) for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self.known}
        scores = {key: self.known[key] for key in keys if key in self.known}
        scores |= dict(zip(new, self._fresh([*new.values()], device), strict=True))
        for key in keys:
            self.known[key] = scores[key]
            self.known.move_to_end(key)
        while len(self.known) > CACHED:
            self.known.popitem(last=False)
        return [scores[key] for key in keys]


class Rule(TextScorer):
    """A rule that ships: pure, and worth a number by one row."""

    def __init__(self, *, metric: str, **rules: Any) -> None:
        super().__init__(metric=metric, pure=True, **rules)

    def worth(self, row: Row) -> float:
        raise NotImplementedError

    def numbers(self, rows: Sequence[Row], device: torch.device) -> list[float]:
        return [self.worth(row) for row in rows]
