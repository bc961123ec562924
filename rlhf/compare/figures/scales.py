"""Scales on which one run that went far leaves room for the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

FAR, FURTHER = 4.0, 30.0  # medians: from there on a square-root scale, a symmetrical logarithm
ROOM = 1.06  # of the way to the largest KL, to the right
FEW, FAR_OUT = 5, 3.0  # of so many runs, one so many times their range away is at the edge


@dataclass(frozen=True, kw_only=True)
class KLScale:
    """A scale from 0 to `right` nats."""

    kind: str  # linear, sqrt, symlog
    right: float
    constant: float = 1.0  # nats: below it a symlog scale is about linear

    @property
    def words(self) -> str:
        names = {"linear": "", "sqrt": " (square-root scale)", "symlog": " (logarithmic scale)"}
        return names[self.kind]

    def position(self, kl: float) -> float:
        """From 0 to about 1 across the chart."""
        return self._ahead(kl) / (ROOM * self._ahead(self.right) or 1.0)

    def ticks(self, count: int = 6) -> list[float]:
        """Round KLs, about evenly far apart."""
        if self.kind == "linear" or self.right <= 0:
            return []
        step, ticks = self._ahead(self.right) / (count - 1), [0.0]
        for raw in [self._back(i * step) for i in range(1, count)]:
            unit = 10.0 ** math.floor(math.log10(raw))
            tick = min(
                (m * unit for m in (1, 1.5, 2, 3, 4, 5, 6, 8, 10)), key=lambda t: abs(t - raw)
            )
            if ticks[-1] < tick <= self.right:
                ticks.append(float(f"{tick:.3g}"))
        return ticks

    def x(self, title: str = "KL to SFT, nats per response") -> alt.X:
        import altair as alt

        domain = [0.0, self._back(ROOM * self._ahead(self.right)) or 1.0]
        kind: Any = self.kind
        scale = alt.Scale(type=kind, domain=domain, nice=False)
        if self.kind == "symlog":
            scale = alt.Scale(type=kind, domain=domain, nice=False, constant=self.constant)
        ticks: Any = self.ticks() or alt.Undefined
        axis = alt.Axis(values=ticks, format=plain(self.right), labelOverlap=True)
        return alt.X("x:Q", scale=scale, axis=axis, title=f"{title}{self.words}")

    def _ahead(self, kl: float) -> float:
        if self.kind == "sqrt":
            return math.sqrt(max(kl, 0.0))
        return math.log1p(kl / self.constant) if self.kind == "symlog" else kl

    def _back(self, position: float) -> float:
        if self.kind == "sqrt":
            return position * position
        return math.expm1(position) * self.constant if self.kind == "symlog" else position


def kl_scale(ends: Sequence[float], everything: Sequence[float]) -> KLScale:
    """By where the runs ended: linear, unless the furthest KL is over 4 times their median.

    Args:
        ends: KL of each mark, nats.
        everything: all KLs that are drawn.
    """
    right = max([0.0, *everything])
    middle = median(ends) if len(ends) > 2 else right
    if right <= FAR * middle:
        return KLScale(kind="linear", right=right)
    if right <= FURTHER * middle or middle <= 0:
        return KLScale(kind="sqrt", right=right)
    return KLScale(kind="symlog", right=right, constant=middle / 8)


def span(
    runs: Sequence[Sequence[float]], keep: Sequence[float] = (), room: float = 0.08
) -> tuple[float, float]:
    """The lowest and the highest value to draw, with room around them.

    The outermost twentieth of the runs (one at least, of five runs or more) are left out where they
    lie further from the others than three times what these reach over: they are drawn at the edge.

    Args:
        runs: the values of each run.
        keep: values that are never left out.
    """
    finite = ([v for v in run if math.isfinite(v)] for run in runs)
    known = [run for run in finite if run]
    lows, highs = sorted(map(min, known)), sorted(map(max, known))
    low, high = min([*lows[:1], *keep], default=0.0), max([*highs[-1:], *keep], default=1.0)
    if len(known) >= FEW:
        outer = max(1, len(known) // 20)
        bottom, top = min([lows[outer], *keep]), max([highs[-1 - outer], *keep])
        beyond = FAR_OUT * (top - bottom)
        if beyond > 0 and (low < bottom - beyond or high > top + beyond):
            low = low if low >= bottom - beyond else bottom
            high, room = high if high <= top + beyond else top, 0.3
    extra = room * (high - low) or max(abs(high), 1.0) * room
    return low - extra, high + extra


def y(name: str, low: float, high: float) -> alt.Y:
    import altair as alt

    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    return alt.Y(
        "y:Q", scale=scale, title=name, axis=alt.Axis(format=plain(low, high), labelOverlap=True)
    )


def plain(*ends: float) -> str:
    """The format of an axis's numbers: in full where that is no long number. With a precision, as
    Vega would take one from the step of its own ticks, and show 1.5 and 15 as 2 and 20."""
    return ".6~r" if max(map(abs, ends)) < 1e6 else "~g"


def decades(low: float, high: float) -> list[float]:
    """Round numbers from about `low` to about `high` for a logarithmic axis: 1, 2 and 5 of each
    power of ten, or where that is more than two powers, the powers alone."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high <= 100 * low else (1,)
    ticks = (float(f"{m}e{power}") for power in powers for m in steps)
    return [tick for tick in ticks if 0.8 * low <= tick <= 1.25 * high]


def logarithmic(values: Sequence[float]) -> bool:
    """Whether a logarithmic scale suits: all above 0, and over a factor of 3 apart."""
    return bool(values) and min(values) > 0 and max(values) >= 3 * min(values)
