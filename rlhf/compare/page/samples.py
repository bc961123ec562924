"""The same prompts under SFT and under each setting, tokens shaded by what they add to the KL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.compare.read import Run, value
from rlhf.compare.statistics import Setting, Study
from rlhf.metrics import KL
from rlhf.rundir.read import Lines, number

PROMPTS = 6
COLUMNS = 8  # settings
WIDE = 160  # characters
STRONG = 4.0  # nats of a token at which the shade is full


@dataclass(frozen=True, kw_only=True)
class Token:
    lead: str  # the space before it, which is not shaded
    text: str
    # log pi - log pi_ref of the token that was drawn: its share of this response's KL estimate, may
    # be negative
    kl: float

    @property
    def shade(self) -> int:
        """0 to 100 per cent of full, by sqrt so that small ones can be seen."""
        return round(100 * math.sqrt(min(abs(self.kl) / STRONG, 1.0)))

    @property
    def above(self) -> bool:
        return self.kl >= 0


@dataclass(frozen=True, kw_only=True)
class Response:
    who: str  # SFT, or a setting's label
    text: str
    tokens: tuple[Token, ...]  # empty where the run did not record them
    rewards: dict[str, float]
    kl: float
    ended: bool


@dataclass(frozen=True, kw_only=True)
class Sample:
    prompt: str
    responses: tuple[Response, ...]

    @property
    def long(self) -> bool:
        return any(len(r.text) > WIDE for r in self.responses)


def samples(run: Run, *, first: bool = False) -> list[dict[str, Any]]:
    """A run's rows of samples.jsonl at its last evaluation, or of SFT at iteration 0."""
    rows = [
        row
        for row in Lines(run.directory / "samples.jsonl").read()
        if isinstance(row.get("iteration"), int) and "prompt" in row
    ]
    at = 0 if first else max((row["iteration"] for row in rows), default=0)
    return [row for row in rows if row["iteration"] == at]


def side_by_side(study: Study, most: int = PROMPTS) -> list[Sample]:
    """Up to `most` prompts that every setting's first run with samples has answered, under SFT
    and under each; of many settings the leader and a few from the lowest to the highest KL."""
    shown = _shown(study)
    ended = {s.label: rows for s in shown if (rows := first_of(s.runs))}
    sft = first_of([run for _, run in study.members], at_start=True)
    columns = ({"SFT": sft} if sft and len(study.starts) == 1 else {}) | ended
    prompts = dict.fromkeys(row["prompt"] for row in next(iter(ended.values()), []))
    shared = [p for p in prompts if all(_of(rows, p) is not None for rows in ended.values())]
    return [
        Sample(
            prompt=p,
            responses=tuple(
                _response(who, row)
                for who, rows in columns.items()
                if (row := _of(rows, p)) is not None
            ),
        )
        for p in shared[:most]
    ]


def _shown(study: Study) -> list[Setting]:
    """All settings, or of many the leader and some others, evenly chosen by their KL."""
    if len(study.settings) <= COLUMNS:
        return list(study.settings)
    far = sorted(study.settings, key=lambda s: s[KL].mean)
    steps = COLUMNS - 2
    chosen = [far[round(i * (len(far) - 1) / steps)] for i in range(steps + 1)]
    leader = [study.verdict.leader] if study.verdict is not None else []
    return [s for s in study.settings if s in chosen or s in leader]


def first_of(runs: Sequence[Run], *, at_start: bool = False) -> list[dict[str, Any]]:
    """The samples of the first run that has some."""
    return next((rows for run in runs if (rows := samples(run, first=at_start))), [])


def _of(rows: Sequence[dict[str, Any]], prompt: str) -> dict[str, Any] | None:
    return next((row for row in rows if row["prompt"] == prompt), None)


def _token(text: str, kl: float | None) -> Token:
    bare = text.lstrip()
    known = 0.0 if kl is None or math.isnan(kl) else kl
    return Token(lead=text.removesuffix(bare), text=bare, kl=known)


def _response(who: str, row: dict[str, Any]) -> Response:
    texts, kls = row.get("tokens") or [], row.get("token_kl") or []
    tokens = zip(texts, kls, strict=True) if len(texts) == len(kls) else ()
    return Response(
        who=who,
        text=str(row.get("response", "")),
        tokens=tuple(_token(str(text), number(kl)) for text, kl in tokens),
        rewards={k.removeprefix("reward/"): value(row, k) for k in row if k.startswith("reward/")},
        kl=value(row, KL),
        ended=bool(row.get("ended", True)),
    )
