"""What the jobs of a sweep need together, beside this machine. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from rlhf.rundir.disk.space import amount
from rlhf.runs.machine.fits import Fit


@dataclass(frozen=True, kw_only=True)
class Fits:
    """Of the jobs of a sweep, or of a run alone."""

    fits: tuple[Fit, ...]
    at_once: int = 1

    @cached_property
    def largest(self) -> Fit | None:
        """The one that needs most memory."""
        return max(self.fits, key=_peak, default=None)

    @cached_property
    def room(self) -> int | None:
        """Jobs that the memory has room for at a time, one at least; None where that is not known,
        or where GPUs are asked. Frozen weights are mapped, and count once."""
        fit = self.largest
        if fit is None or fit.limit is None or fit.on_gpu or not fit.peaks:
            return None
        return max(1, int((fit.limit - self._common) // (_peak(fit) - self._common)))

    @property
    def _common(self) -> float:
        """Bytes of the job that needs most which all jobs have in common."""
        peaks = self.largest.peaks if self.largest else []
        return max(peaks, key=lambda peak: peak.size).mapped if peaks else 0.0

    def faults(self) -> list[str]:
        """Each sentence once."""
        every = [fault for fit in self.fits for fault in (*fit.memory_faults(), *fit.disk_faults())]
        return list(dict.fromkeys([*every, *self._disk()]))

    def _disk(self) -> Iterator[str]:
        """Every job leaves its policy."""
        if len(self.fits) < 2 or self.largest is None or not self.largest.disks:
            return
        need = self.largest.disks[0]
        left = sum(fit.estimate.policy for fit in self.fits)
        if need.least <= need.free < left:
            yield (
                f"{need.place}: {amount(need.free)} are free, and the policies of"
                f" {len(self.fits)} jobs take {amount(left)}: make room, or choose a folder on"
                " another disk with paths.sweeps=<folder>"
            )

    def cautions(self) -> list[str]:
        every = [caution for fit in self.fits for caution in fit.cautions()]
        return list(dict.fromkeys([*every, *self._together()]))

    @property
    def memory(self) -> float:
        """Bytes of the jobs that are at work at a time, where each needs as much as the largest."""
        jobs, fit = min(self.at_once, len(self.fits)), self.largest
        return 0.0 if fit is None else jobs * (_peak(fit) - self._common) + self._common

    def _together(self) -> Iterator[str]:
        fit, jobs = self.largest, min(self.at_once, len(self.fits))
        if fit is None or jobs < 2 or fit.limit is None or self.room is None:
            return
        need = self.memory
        if _peak(fit) <= fit.limit < need:
            yield (
                f"{jobs} jobs at a time need about {amount(need)} of memory, and this machine has"
                f" {amount(fit.limit)}: they may not fit; hydra.launcher.jobs={self.room} does"
            )

    def lines(self) -> list[str]:
        """What is needed by the job that needs most."""
        return [] if self.largest is None else [*self.largest.lines()]


def _peak(fit: Fit) -> float:
    return max((peak.size for peak in fit.peaks), default=0.0)
