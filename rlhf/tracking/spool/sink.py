"""A service that takes runs, as the delivery sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Row:
    """The metrics of an iteration, or of a look at the machine; `time` in ms."""

    number: int
    time: int
    values: Mapping[str, float]


class Sink:
    """One run in one service. Every method may wait for the service and may raise; after that, or
    after `drop`, `open` begins anew. A subclass says how each is done.

    Args:
        state: what the run's state file says, kept up to date by the delivery.
    """

    service: ClassVar[str]  # its name in sentences
    file: ClassVar[str]  # of the state, in the run's directory
    takes_system: ClassVar[bool] = True  # False: it watches the machine itself
    largest: ClassVar[int] = 500  # metrics in a batch

    def __init__(self, directory: Path, state: dict[str, Any]) -> None:
        self.directory, self.state = directory, state
        self.steps = 0  # that the service took: the end of a run waits while they go up

    @property
    def label(self) -> str:
        """The service and where it is, without secrets."""
        return self.service

    def open(self, *, resume: bool) -> dict[str, Any]:
        """Makes the run, or finds the one that is there. Returns what the state gets: `delivered`,
        the last iteration that has arrived, by the service's own word.

        Args:
            resume: the run goes on.
        """
        raise NotImplementedError

    def introduce(self) -> None:
        """Sends what is known of the run at its start. Again, it changes nothing."""

    def send(self, rows: Sequence[Row]) -> None:
        """Sends iterations, in order. A batch that has failed may have arrived."""
        raise NotImplementedError

    def send_system(self, rows: Sequence[Row]) -> None:
        """Sends looks at the machine. Some may have arrived before."""

    def end(self, status: str, *, step: int, time: int, ended: int) -> None:
        """Sends results, samples and files, and closes the run.

        Args:
            step: the last iteration, which was at `time` (ms).
            ended: when the run ended (ms).
        """
        raise NotImplementedError

    def drop(self) -> None:
        """Lets go of the run as it is."""

    def moved(self) -> object:
        """A value that changes while others do what is waited for."""
        return ()

    @classmethod
    def lost(cls, state: Mapping[str, Any]) -> bool:
        """Whether a service that took the whole run has it no longer."""
        return False
