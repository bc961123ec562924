"""The ways in which a run ends early."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from rlhf.rundir.signals import exit_code_of


class Stopped(BaseException):
    """A signal, or the run's own time limit, asked it to stop; its state is saved. Not an
    `Exception`: it comes at any place, and code that catches errors there must not take it for one
    of its own.

    `exit_code` is 130 for Ctrl-C, else 143; `state` the status that the run gets.
    """

    def __init__(self, number: int, where: str) -> None:
        overdue = number == getattr(signal, "SIGALRM", None)
        why = "its time limit has passed" if overdue else "stopped"
        super().__init__(
            f"{why}, its state is saved in {where}; the same command goes on from there"
        )
        self.exit_code = exit_code_of(number)
        self.state = "time limit" if overdue else "stopped"


class RunFailed(RuntimeError):
    """A run cannot go on: the sentence says why and what to do."""


class ModelError(ValueError):
    """The model cannot be used as the config asks: one sentence for each reason."""

    exit_code = 2

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(self.faults))


class NonFinite(RunFailed):
    """A number that a stage needs is NaN or infinite: nothing of it is saved or published."""
