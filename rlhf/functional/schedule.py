"""Learning-rate schedules as pure functions of progress, so that a resumed run needs no
scheduler state."""

from __future__ import annotations

import math


def lr_factor(schedule: str, progress: float, warmup: float = 0.0) -> float:
    """The factor on the base learning rate at `progress` in [0, 1], the share of all steps done.

    Linear warm-up from 0 over the first `warmup` share, then with q the share of what is left:
    constant 1, linear 1 - q, cosine (1 + cos(pi q)) / 2.
    """
    if warmup > 0 and progress < warmup:
        return progress / warmup
    q = min(1.0, (progress - warmup) / (1.0 - warmup)) if warmup < 1 else 1.0
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - q
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * q))
    raise ValueError(f"unknown schedule {schedule!r}: expected constant, linear or cosine")
