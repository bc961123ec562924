"""How far above or below a curve of rewards a policy is, at its own KL."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student

Curve = Sequence[tuple[float, float]]  # (KL in nats, reward), by KL


def reward_at(curve: Curve, kl: float) -> float | None:
    """The reward at a KL: linear in sqrt(KL) between the curve's points, as a frontier nearly is
    (Gao et al., arXiv 2210.10760). None outside of them."""
    points = sorted(curve)
    for (below, low), (above, high) in zip(points, points[1:], strict=False):
        if below <= kl <= above:
            width = math.sqrt(above) - math.sqrt(below)
            share = (math.sqrt(kl) - math.sqrt(below)) / width if width else 0.0
            return low + share * (high - low)
    return None


@dataclass(frozen=True)
class Difference:
    """A mean over n seeds, with the half-width of its 95 % t interval (inf for one seed)."""

    mean: float
    half: float
    n: int

    @property
    def holds_zero(self) -> bool:
        return abs(self.mean) <= self.half

    def __str__(self) -> str:
        half = f" ± {self.half:.2f}" if math.isfinite(self.half) else ""
        return f"{self.mean:+.2f}{half}"


def difference(each: Sequence[float]) -> Difference | None:
    """Of one difference for each seed; None without any."""
    if not each:
        return None
    n = len(each)
    if n == 1:
        return Difference(each[0], math.inf, n)
    half = float(student.ppf(0.975, n - 1)) * statistics.stdev(each) / math.sqrt(n)
    return Difference(statistics.fmean(each), half, n)
