"""The settings that a search varies, read from Hydra's override syntax: `interval`, `choice`,
`range`, lists, and the tags `log` and `int`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

DIGITS = 4  # of a number that a search proposes: runs are named by it


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """`choices`, or the numbers from `low` to `high` (whole ones, or every `step`-th)."""

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    step: float | None = None

    def line(self, value: Any) -> str:
        if self.choices:
            return f"{self.key}={value}"
        if self.whole:
            return f"{self.key}={round(value)}"
        if value in (self.low, self.high):  # the ends are taken as they were written
            return f"{self.key}={float(value)!r}"
        rounded = float(f"{value:.{DIGITS}g}")
        return f"{self.key}={min(max(rounded, self.low), self.high)!r}"


def split(overrides: Iterable[Override]) -> tuple[list[str], list[Dimension]]:
    """The settings that stay, and the dimensions; the last word on a key counts.

    Raises:
        HydraException: a sweep that is no search space.
    """
    fixed: dict[str, str] = {}
    varied: dict[str, Dimension] = {}
    for override in overrides:
        key = override.get_key_element()
        fixed.pop(key, None)
        varied.pop(key, None)
        if override.is_sweep_override():
            varied[key] = dimension(override)
        else:
            fixed[key] = f"{key}={override.get_value_element_as_str()}"
    return list(fixed.values()), list(varied.values())


def dimension(override: Override) -> Dimension:
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or not low < high:
            raise HydraException(
                f"{override.input_line}: an interval goes from a smaller number to a larger one"
            )
        log = "log" in value.tags
        if log and low <= 0:
            raise HydraException(f"{override.input_line}: a logarithmic interval begins above 0")
        whole = "int" in value.tags or (
            isinstance(low, int) and isinstance(high, int) and not log and "float" not in value.tags
        )
        return Dimension(key=key, low=float(low), high=float(high), log=log, whole=whole)
    if (
        isinstance(value, RangeSweep)
        and value.start is not None
        and value.stop is not None
        and not value.shuffle
        and value.step > 0
        and value.start < value.stop
    ):
        steps = int((value.stop - value.start - 1e-12) / value.step)
        return Dimension(
            key=key,
            low=float(value.start),
            high=float(value.start + steps * value.step),
            whole=all(isinstance(x, int) for x in (value.start, value.stop, value.step)),
            step=float(value.step),
        )
    choices = tuple(override.sweep_string_iterator())
    if not choices:
        raise HydraException(f"{override.input_line}: there is nothing to choose from")
    return Dimension(key=key, choices=choices)
