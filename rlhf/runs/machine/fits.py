"""Whether this machine has the memory and the disk that a run is estimated to need, and the few
lines that say what it needs. Torch-free."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.config.naming import stage_title
from rlhf.config.pieces.model import TinyModel
from rlhf.config.schema import Config
from rlhf.config.validate import ConfigError
from rlhf.estimates.memory import BYTES, FACTOR, LIBRARIES, Peak, Term
from rlhf.estimates.peaks import peaks
from rlhf.estimates.plan import Estimate, drawn_in
from rlhf.estimates.processes import all_of
from rlhf.estimates.rows import DataSize, size_of
from rlhf.estimates.saved import shape_in
from rlhf.estimates.shape import shape_of
from rlhf.estimates.time import LEAST, seconds
from rlhf.rundir.disk.space import amount
from rlhf.rundir.words import about
from rlhf.runs.machine.devices import Machine, rate, this_machine
from rlhf.runs.machine.room import DiskNeed, disk_fault, disk_needs, weights_size
from rlhf.runs.planned.stages import Shelf, StageState

if TYPE_CHECKING:
    from rlhf.stages.context import StageContext

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """An estimate beside this machine."""

    estimate: Estimate
    directory: Path  # of the run
    stages: tuple[str, ...]  # that will be trained
    unsure: tuple[str, ...] = ()  # that may be made already
    machine: Machine = field(default_factory=this_machine)

    @property
    def cfg(self) -> Config:
        return self.estimate.cfg

    @cached_property
    def on_gpu(self) -> bool:
        return self.cfg.trainer.accelerator == "cuda"

    @property
    def limit(self) -> int | None:
        """Bytes of memory that the networks have."""
        return self.machine.gpu_memory if self.on_gpu else self.machine.memory

    @property
    def counted(self) -> tuple[str, ...]:
        """The stages that it is counted for: all but those that are made for certain."""
        return (*self.stages, *self.unsure)

    @cached_property
    def every_peak(self) -> list[Peak]:
        """Of the stages that are counted. Without a GPU also what the libraries take beside the
        networks, of all processes on this machine."""
        counted = [peak for peak in peaks(self.estimate) if peak.stage in self.counted]
        if self.on_gpu:
            return counted
        more = Term("Python and its libraries", LIBRARIES)
        every = [replace(peak, terms=(*peak.terms, more)) for peak in counted]
        return [all_of(peak, self.cfg.trainer.devices) for peak in every]

    @property
    def peaks(self) -> list[Peak]:
        """Of those that will be trained."""
        return [peak for peak in self.every_peak if peak.stage in self.stages]

    @cached_property
    def disks(self) -> list[DiskNeed]:
        it = self.estimate
        return disk_needs(self.cfg, self.directory, self.stages, it.weights, adapter=it.adapter)

    @cached_property
    def seconds(self) -> dict[str, tuple[float, float]]:
        """Of each stage that is counted the least and the most. Empty on a GPU, whose rate nobody
        has measured, and where arithmetic does not decide."""
        every = self.estimate.operations
        operations = {name: every[name] for name in every if name in self.counted}
        if self.on_gpu or sum(operations.values()) < LEAST:
            return {}
        best = rate(self.cfg.trainer.threads)
        return {} if best is None else {k: seconds(n, best) for k, n in operations.items()}

    @cached_property
    def responses(self) -> dict[str, int]:
        """Responses that are drawn in the stages that are counted, by what for."""
        counts = self.estimate.responses
        return {purpose: n for purpose, n in counts.items() if drawn_in(purpose) in self.counted}

    def memory_faults(self) -> Iterator[str]:
        """A sentence for each stage that cannot fit, even where the estimate is off by the factor
        that it may be off by."""
        for peak in self.peaks:
            if self.limit is not None and peak.size > FACTOR * self.limit:
                yield f"{self._need(peak)}; {_shrink(peak)}"

    def disk_faults(self) -> Iterator[str]:
        """The same of disks. A model from scratch has the vocabulary of a tokenizer that is not
        made yet: there the run itself asks."""
        for need in () if isinstance(self.cfg.model, TinyModel) else self.disks:
            if fault := disk_fault(need, self.stages, self.estimate.weights):
                yield fault

    def cautions(self) -> Iterator[str]:
        """A sentence for each stage that may not fit."""
        for peak in self.peaks:
            if self.limit is not None and self.limit < peak.size <= FACTOR * self.limit:
                yield f"{self._need(peak)}: it may not fit; {_shrink(peak)}"

    def _need(self, peak: Peak) -> str:
        where = "its GPU" if self.on_gpu else "this machine"
        return (
            f"{self._title(peak.stage)}: needs about {amount(peak.size)} of memory"
            f" ({_terms(peak)}), and {where} has {amount(self.limit or 0)}"
        )

    def _title(self, stage: str) -> str:
        return stage_title(self.cfg.plain(), stage)

    def lines(self) -> Iterator[str]:
        """What the run needs, for whoever started it."""
        if self.every_peak:
            peak = max(self.every_peak, key=lambda each: each.size)
            of = "" if self.limit is None else f" of {amount(self.limit)}"
            stage = self._title(peak.stage)
            yield f"memory   about {amount(peak.size)}{of} in {stage}: {_terms(peak)}"
        for need in self.disks:
            most, free = amount(need.most), amount(need.free)
            yield f"disk     up to {most} of the {free} that are free at {need.place}"
        if counts := self.responses:
            parts = ", ".join(f"{count:,} {purpose}" for purpose, count in counts.items())
            yield f"drawn    {sum(counts.values()):,} responses: {parts}"
        if self.seconds:
            least, most = (about(sum(each)) for each in zip(*self.seconds.values(), strict=True))
            parts = ", ".join(
                f"{self._title(stage)} {about(low)} to {about(high)}"
                for stage, (low, high) in self.seconds.items()
            )
            made = f"; {' and '.join(self.unsure)} may be made already" if self.unsure else ""
            yield f"time     {least} to {most}, roughly: {parts}{made}"


def _terms(peak: Peak) -> str:
    return ", ".join(f"{term.name} {amount(term.size)}" for term in peak.largest())


def _shrink(peak: Peak) -> str:
    """The settings that make the largest terms smaller; frozen weights may have none but the
    model."""
    names = dict.fromkeys(name for term in peak.largest() for name in term.settings)
    return f"smaller: {', '.join(names)}" if names else "take a smaller model"


def fit_of(
    cfg: Config,
    directory: Path,
    data: DataSize | None = None,
    stages: Sequence[StageState] | None = None,
) -> Fit | None:
    """None where the model's shape is not known.

    Args:
        stages: what is known of those that are artifacts; None: they are looked for, without their
            data.
    """
    shape = shape_in(cfg)
    if shape is None:
        return None
    estimate = Estimate(cfg=cfg, shape=shape, data=data or DataSize())
    states = {s.name: s.known for s in (stages if stages is not None else Shelf().states(cfg))}
    missing = (n for n in estimate.trained if states.get(n, "to train") == "to train")
    unsure = (n for n in estimate.trained if states.get(n) == "perhaps made")
    return Fit(estimate=estimate, directory=directory, stages=tuple(missing), unsure=tuple(unsure))


def check_memory(context: StageContext, missing: Collection[str]) -> None:
    """Asks once more, of the stages that really have to be trained.

    Raises:
        ConfigError: one of them cannot fit.
    """
    if context.model_config is None:
        return
    config = context.model_config.to_dict()
    shape = shape_of(config) or shape_of(config, (weights_size(context) or 0) // BYTES or None)
    if shape is None:
        return
    estimate = Estimate(cfg=context.cfg, shape=shape, data=size_of(context.data))
    stages = tuple(name for name in estimate.stages if name in missing)
    fit = Fit(estimate=estimate, directory=context.run_directory, stages=stages)
    if faults := [*fit.memory_faults()]:
        raise ConfigError(faults)
    for caution in fit.cautions():
        log.warning("%s", caution)
