"""Rules that ship: sentiment, answer match, length, regular expression, valid JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from rlhf.arguments import one_of, positive
from rlhf.data.gold import compound
from rlhf.functional.sequences import last_index
from rlhf.rewards.answers import equal
from rlhf.rewards.checks import compiled
from rlhf.rewards.texts import NamedScorer, Row, Rule
from rlhf.rollout.score import Responses
from rlhf.rundir.errors import RunFailed

SHOWN = 40  # letters of a response in a message


class VaderScorer(Rule):
    """VADER's compound sentiment of the response, from -1 to 1 (Hutto and Gilbert 2014, package
    vaderSentiment). `data.gold=vader` is twice that of prompt and response together."""

    def __init__(self, **rules: Any) -> None:
        super().__init__(metric="vader", **rules)

    def worth(self, row: Row) -> float:
        return compound(row.response)


class AnswerMatchScorer(Rule):
    """`right` where the response's final answer is that of the prompt's reference, else `wrong`:
    rlhf.rewards.answers says what the final answer is.

    Args:
        form: `exact` (the same text after normalising), `numeric` (its last number, 42 == 42.0),
            `either`.
    """

    needs_references = True

    def __init__(
        self,
        form: Literal["exact", "numeric", "either"] = "either",
        right: float = 1.0,
        wrong: float = 0.0,
        **rules: Any,
    ) -> None:
        super().__init__(metric="answer_match", **rules)
        self.form = one_of("form", form, ("exact", "numeric", "either"))
        self.right, self.wrong = float(right), float(wrong)

    def worth(self, row: Row) -> float:
        if row.reference is None:
            raise RunFailed(
                f"scorer=answer_match compares with references, and the prompt"
                f" {row.prompt[:SHOWN]!r} has none"
            )
        return self.right if equal(row.response, row.reference, self.form) else self.wrong


class LengthScorer(NamedScorer):
    """- penalty * |length - target|, of the side that is penalised; 0 on the other.

    Args:
        unit: `tokens` (without the one that stops), `words` (between spaces) or `characters`.
        side: `both`, `above` (longer ones are penalised) or `below`.
    """

    def __init__(
        self,
        target: int,
        penalty: float,
        unit: Literal["tokens", "words", "characters"] = "tokens",
        side: Literal["both", "above", "below"] = "both",
        **rules: Any,
    ) -> None:
        super().__init__(metric="length", **rules)
        self.target, self.penalty = positive("target", target), positive("penalty", penalty)
        self.unit = one_of("unit", unit, ("tokens", "words", "characters"))
        self.side = one_of("side", side, ("both", "above", "below"))

    def lengths(self, responses: Responses) -> Tensor:
        rollout = responses.rollout
        if self.unit == "tokens":
            last = rollout.tokens.gather(1, last_index(rollout.mask)[:, None])
            stopped = torch.isin(last, torch.tensor(responses.stops.ids).to(last)).squeeze(1)
            return rollout.mask.sum(1) - (stopped & rollout.ended).long()
        texts = responses.texts
        counts = [len(text.split() if self.unit == "words" else text) for text in texts]
        return torch.tensor(counts, device=rollout.tokens.device)

    def rate(self, responses: Responses) -> Tensor:
        over = self.lengths(responses).float() - self.target
        low, high = {"both": (None, None), "above": (0.0, None), "below": (None, 0.0)}[self.side]
        beyond = over if self.side == "both" else over.clamp(low, high)
        return -self.penalty * beyond.abs()


class RegexScorer(Rule):
    """`hit` where the pattern matches the response, else `miss`.

    The patterns are those of the package `regex`, Python's and more. A pattern that backtracks
    without end, as `(a+)+$` does, is stopped after `timeout` seconds a response, and so is the run.

    Args:
        match: `search` (anywhere in the response) or `full` (the whole of it).
    """

    def __init__(
        self,
        pattern: str,
        match: Literal["search", "full"] = "search",
        hit: float = 1.0,
        miss: float = 0.0,
        timeout: float = 1.0,
        **rules: Any,
    ) -> None:
        super().__init__(metric="regex", **rules)
        self.pattern = pattern
        one_of("match", match, ("search", "full"))
        self.find = compiled(pattern).search if match == "search" else compiled(pattern).fullmatch
        self.hit, self.miss, self.timeout = float(hit), float(miss), positive("timeout", timeout)

    def worth(self, row: Row) -> float:
        try:
            return self.miss if self.find(row.response, timeout=self.timeout) is None else self.hit
        except TimeoutError:
            raise RunFailed(
                f"scorer.pattern={self.pattern} took more than {self.timeout:g} s for the response"
                f" {row.response[:SHOWN]!r}: it backtracks without end; write it without repeated"
                " repeats, or raise scorer.timeout"
            ) from None


class JsonScorer(Rule):
    """`valid` where the whole response is JSON (RFC 8259: no NaN), else `invalid`.

    Args:
        keys: where there are any, it must be an object that has them all.
    """

    def __init__(
        self,
        keys: Sequence[str] = (),
        valid: float = 1.0,
        invalid: float = 0.0,
        **rules: Any,
    ) -> None:
        super().__init__(metric="json", **rules)
        self.keys, self.valid, self.invalid = tuple(keys), float(valid), float(invalid)

    def worth(self, row: Row) -> float:
        try:
            value = json.loads(row.response, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return self.invalid
        has_keys = isinstance(value, dict) and all(key in value for key in self.keys)
        return self.valid if has_keys or not self.keys else self.invalid


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no JSON")
