"""A process's place among those that were started together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Started:
    """By torchrun, Slurm or the user, one process for each device."""

    rank: int
    size: int
    local_rank: int  # the number of its device on its machine
    node_rank: int
    told: str  # the variables that say so, for messages
