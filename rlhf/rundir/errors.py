"""The ways in which a run ends early."""

from __future__ import annotations

from collections.abc import Iterable


class Stopped(Exception):
    """A signal asked the run to stop; its state is saved. `exit_code` is 130 for Ctrl-C, 143 for
    SIGTERM."""

    def __init__(self, exit_code: int, where: str) -> None:
        super().__init__(
            f"stopped, its state is saved in {where}; the same command goes on from there"
        )
        self.exit_code = exit_code


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
