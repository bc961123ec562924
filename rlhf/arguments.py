"""Checks that constructors share. Torch-free."""

from __future__ import annotations

import math
from typing import TypeVar

T = TypeVar("T")


def positive(name: str, value: float) -> float:
    """The value of an argument that must be a finite number above 0.

    Raises:
        ValueError: it is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, got {value}")
    return float(value)


def missing_eos_fault(mode: str, value: float | None) -> str | None:
    """Why a rule for responses that never ended cannot be followed; None where it can."""
    if mode not in ("none", "set", "subtract"):
        return f"missing_eos={mode!r}: expected none, set or subtract"
    if mode != "none" and value is None:
        return f"missing_eos={mode} needs a number: missing_eos_value"
    return None


def one_of(name: str, value: T, choices: tuple[T, ...]) -> T:
    """The value of an argument that must be one of `choices`.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(str, choices))}, got {value!r}")
    return value


def layers_of(part: str) -> int | None:
    """Of a network's layers, how many of the last are trained: 0 for `head`, N for `last:N`, None
    (whatever there is) for `all` and for `adapter`, which is beside all of them.

    Raises:
        ValueError: the part is none of these.
    """
    name, _, count = part.partition(":")
    if part in ("all", "head", "adapter"):
        return 0 if part == "head" else None
    if name != "last" or not (count.isascii() and count.isdigit() and 0 < int(count[:6]) < 10**5):
        raise ValueError(
            "expected all, head or last:N (the last N layers and what stands behind them), such as"
            " last:2"
        )
    return int(count)
