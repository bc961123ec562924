"""The interface of tracking: four calls, none of which waits for a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The rows that a run learns from: `digest` is their sha256, `source` says how they came about
    (plain JSON)."""

    name: str
    digest: str
    rows: int
    source: Mapping[str, Any]


class Tracker(Protocol):
    """Follows one run directory at a time. `metrics.jsonl` there is the spool; the tracker only
    reads it. What a subclass leaves out does nothing."""

    def begin(
        self,
        directory: Path,
        *,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        datasets: Sequence[Dataset] = (),
    ) -> None:
        """Start to follow `directory`. `params` is flat (`kl.coef`: 0.05). Returns at once."""

    def add(
        self,
        directory: Path,
        *,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        datasets: Sequence[Dataset] = (),
    ) -> None:
        """The same of a run beside the one that is followed, which has ended: a point of a path.
        Again, it changes nothing."""

    def notify(self) -> None:
        """There are new lines. Returns at once."""

    def finish(self, status: Status, *, timeout: float = 20.0) -> str | None:
        """Deliver what is left, as long as something moves: give up when nothing did for `timeout`
        seconds, and after that time in all if the run is KILLED. Returns a sentence if something
        could not be delivered."""


class NoTracker(Tracker):
    """tracking=none: the run's directory is all there is."""
