"""The learning rate as a function of the optimizer step."""

from __future__ import annotations

import math


def lr_factor(schedule: str, step: int, steps: int, warmup: float = 0.0) -> float:
    """The factor on the base learning rate of optimizer step `step` of `steps` (from 0): no
    scheduler state to save.

    `warmup` is a share of the steps: w = round(warmup steps) of them, at least 1, have (step + 1) /
    w, so the first is above 0 and the last is full. Then with q = (step - w) / (steps - w):
    constant 1, linear 1 - q, cosine (1 + cos(pi q)) / 2, each 1 at the first of these steps and
    above 0 at the last.
    """
    w = warmup_steps(warmup, steps)
    if step < w:
        return (step + 1) / w
    q = min(1.0, (step - w) / max(1, steps - w))
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - q
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * q))
    raise ValueError(f"unknown schedule {schedule!r}: expected constant, linear or cosine")


def warmup_steps(warmup: float, steps: int) -> int:
    """Of so many optimizer steps, those of a warm-up that is a share of them."""
    return max(1, round(warmup * steps)) if warmup > 0 else 0
