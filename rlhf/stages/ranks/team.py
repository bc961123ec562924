"""The ranks of one run as its stages see them: they are given a task, come together for its fit,
and are gone when the run ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rlhf.ranks.group import ALONE, Ranks
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.words import duration
from rlhf.stages.ranks.failures import is_consequence, sentence
from rlhf.stages.ranks.meeting import POLL, Meeting, Task

log = logging.getLogger(__name__)

met: list[Meeting] = []  # of the run under way, where its ranks were started from outside
STARTS = 600.0  # seconds at least in which a rank reads its data and makes its models
PATIENCE = 5.0  # seconds in which a rank that failed says why
AGAIN = "its state is saved up to its last checkpoint; the same command goes on from there"


class FitEnded(BaseException):
    """A rank above 0 has nothing left to do in a stage: what follows its fit is rank 0's."""


class Team:
    """One process: nobody to ask, nobody to wait for."""

    leads = True  # what is kept beside a stage, this process writes

    def ask(self, task: Task) -> None:
        """Has the other ranks begin to make the module of a stage."""

    @contextmanager
    def together(self) -> Iterator[Ranks]:
        """All ranks, while they fit.

        Raises:
            RunFailed: another rank failed, died or does not answer.
        """
        yield ALONE

    def close(self) -> None:
        """Ends the other ranks."""


class Leader(Team):
    """Rank 0's. `dead(rank)` says how the process of a rank ended, None where it lives or is not
    known."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting, self.number = meeting, -1

    def ask(self, task: Task) -> None:
        self.number += 1
        self.meeting.ask(self.number, task)

    def dead(self, rank: int) -> str | None:
        return None

    @contextmanager
    def together(self) -> Iterator[Ranks]:
        try:
            self._wait()
            with self.meeting.group(self.number) as ranks:
                yield ranks
        except Exception as error:
            if not is_consequence(error):
                raise
            raise RunFailed(self._why()) from error

    def _wait(self) -> None:
        """Until all ranks stand where rank 0 does. (A group would wait for the dead, too.)"""
        self.meeting.ready(self.number)
        others = range(1, self.meeting.place.size)
        end = time.monotonic() + max(STARTS, self.meeting.place.seconds)
        while missing := [r for r in others if not self.meeting.is_ready(self.number, r)]:
            if self._first_failure() or time.monotonic() > end:
                raise RunFailed(self._why(missing))
            time.sleep(POLL)

    def _first_failure(self) -> str:
        """What a rank that failed by itself says, or how one died; empty where none did."""
        failures = self.meeting.failures()
        for rank, failure in failures.items():
            if not failure["consequence"]:
                if failure["trace"]:
                    log.error("rank %d:\n%s", rank, failure["trace"].rstrip())
                return sentence(failure, rank)
        for rank in range(1, self.meeting.place.size):
            if rank not in failures and (how := self.dead(rank)):
                return f"rank {rank} {how}, and the other ranks ended with it; {AGAIN}"
        return ""

    def _why(self, missing: list[int] | None = None) -> str:
        end = time.monotonic() + PATIENCE
        while not (words := self._first_failure()) and time.monotonic() < end:
            time.sleep(POLL)
        if words:
            return words
        who = "a rank" if not missing else f"rank {', '.join(map(str, missing))}"
        seconds = self.meeting.place.seconds
        return (
            f"{who} did not answer the others for {duration(seconds)} (trainer.timeout), or its"
            f" connection was lost; {AGAIN}"
        )

    def close(self) -> None:
        self.meeting.ask(self.number + 1, None)


class Member(Team):
    """A rank above 0."""

    leads = False

    def __init__(self, meeting: Meeting, number: int) -> None:
        self.meeting, self.number = meeting, number

    @contextmanager
    def together(self) -> Iterator[Ranks]:
        self.meeting.ready(self.number)
        while not self.meeting.is_ready(self.number, 0):  # which may still make its models
            time.sleep(POLL)
        with self.meeting.group(self.number) as ranks:
            yield ranks
        raise FitEnded
