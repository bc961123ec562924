"""The knee of a frontier: where more KL begins to buy less reward than it did on the way there.

The frontier is SFT (KL 0) and every policy that has more reward than all with less KL, to the one
with the most. With x and y the KL and the reward of a point on it, each scaled to 0 .. 1 between
its two ends, the knee is the point with the largest y - x: the furthest above the chord (Satopaa,
Albrecht, Irwin and Raghavan 2011, "Finding a Kneedle in a Haystack").
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf.compare.choice.candidates import Candidate
from rlhf.compare.statistics.intervals import Answers, answers
from rlhf.compare.statistics.means import Estimate
from rlhf.metrics import KL

if TYPE_CHECKING:
    import numpy as np

DRAWS = 1000
NOISY = "the evaluations' errors"


@dataclass(frozen=True, kw_only=True)
class Knee:
    """The place of the knee among the candidates, how far each is above the chord (nan off the
    frontier), and how sure that is."""

    at: int
    above: tuple[float, ...]  # y - x, one a candidate
    low: float  # nats: the 95 % interval of the knee's KL over draws
    high: float
    share: float  # of the draws in which this candidate is the knee
    over: str  # what was drawn: prompts, seeds


def heights(
    start: tuple[float, float] | None, points: Sequence[tuple[float, float]]
) -> list[float]:
    """y - x of each point (KL, reward), nan for those off the frontier. `start`: SFT."""
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    highest, on = (start[1] if start is not None else -math.inf), list[int]()
    for i in order:
        if points[i][1] > highest:
            highest = points[i][1]
            on.append(i)
    above = [math.nan] * len(points)
    if not on:
        return above
    (x0, y0), (x1, y1) = start if start is not None else points[on[0]], points[on[-1]]
    for i in on:
        x, y = points[i]
        across = (x - x0) / (x1 - x0) if x1 > x0 else 0.0
        above[i] = ((y - y0) / (y1 - y0) if y1 > y0 else 0.0) - across
    return above


def furthest(above: Sequence[float], points: Sequence[tuple[float, float]]) -> int | None:
    """The index of the knee: the largest y - x, at a tie the one with the smallest KL; None where
    nothing is on the frontier."""
    on = [i for i, y in enumerate(above) if math.isfinite(y)]
    return max(on, key=lambda i: (round(above[i], 12), -points[i][0]), default=None)


def knee(candidates: Sequence[Candidate], key: str, start: Estimate) -> Knee | None:
    """The knee of a reward against KL. Its interval is of the bootstrap: prompts are drawn anew,
    the same for all candidates, and so are the seeds where there are several; of policies that kept
    no number by prompt the evaluation's error is drawn."""
    import numpy as np

    sft = (0.0, start.mean) if math.isfinite(start.mean) else None
    points = [(c.mean(KL), c.mean(key)) for c in candidates]
    above = heights(sft, points)
    at = furthest(above, points)
    if at is None:
        return None
    rng, sources = np.random.default_rng(0), [_Source(c, key) for c in candidates]
    counts = {s.answers.prompts: s.answers for s in sources if s.answers is not None}
    seeds = sorted({seed for s in sources for seed in s.seeds})
    ats, kls = Counter[int](), []
    for _ in range(DRAWS):
        prompts = {name: _drawn(rng, of.weights) for name, of in counts.items()}
        drawn = Counter(rng.choice(seeds, len(seeds)).tolist()) if len(seeds) > 1 else Counter()
        now = [source.draw(rng, prompts, drawn) for source in sources]
        level = (0.0, rng.normal(start.mean, _known(start.se))) if sft is not None else None
        place = furthest(heights(level, now), now)
        if place is not None:
            ats[place] += 1
            kls.append(now[place][0])
    low, high = np.quantile(kls, [0.025, 0.975]) if kls else (math.nan, math.nan)
    over = [*(["prompts"] if counts else [NOISY]), *(["seeds"] if len(seeds) > 1 else [])]
    return Knee(
        at=at,
        above=tuple(above),
        low=float(low),
        high=float(high),
        share=ats[at] / DRAWS,
        over=" and ".join(over),
    )


class _Source:
    """What is drawn anew of a candidate: its policies' numbers by prompt, or with their errors."""

    def __init__(self, candidate: Candidate, key: str) -> None:
        runs = candidate.setting.runs
        sides = [answers(runs, k) for k in (KL, key)] if candidate.share is None else [None, None]
        self.answers: Answers | None = sides[1] if all(sides) else None
        self.sides = sides
        self.numbers = [candidate.column(k) for k in (KL, key)]
        self.seeds = [str(p.run.config.get("seed")) for p in candidate.policies]

    def draw(
        self, rng: np.random.Generator, prompts: dict[str, Any], seeds: Counter[str]
    ) -> tuple[float, float]:
        """(KL, reward) of the mean over the drawn seeds; over all where none of them was drawn."""
        weights = [seeds[seed] for seed in self.seeds]
        weights = weights if any(weights) else [1] * len(self.seeds)
        kl, reward = (
            sum(w * v for w, v in zip(weights, self._values(rng, i, prompts), strict=True))
            / sum(weights)
            for i in range(2)
        )
        return max(kl, 0.0), reward

    def _values(self, rng: np.random.Generator, i: int, prompts: dict[str, Any]) -> list[float]:
        side = self.sides[i]
        if self.answers is not None and side is not None:
            return [float(v) for v in side.values @ prompts[self.answers.prompts]]
        values, errors = self.numbers[i]
        return [
            float(rng.normal(v, _known(error))) for v, error in zip(values, errors, strict=True)
        ]


def _drawn(rng: np.random.Generator, weights: Any) -> Any:
    """The shares of as many prompts, drawn with replacement."""
    times = rng.multinomial(len(weights), [1 / len(weights)] * len(weights)) * weights
    return times / times.sum()


def _known(error: float) -> float:
    return error if math.isfinite(error) else 0.0
