"""What there can be: runs, sweeps, artifacts, and what was left over beside these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rlhf.inventory.disk import Disk, total
from rlhf.rundir.status import State


class Key(NamedTuple):
    """Which artifact."""

    stage: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number of the last evaluation; of a run that has not ended, of the last iteration."""

    name: str  # gold, proxy, kl, ...
    value: float  # may be nan
    se: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunEntry:
    """A run's directory, or a job of a sweep that has none yet."""

    name: str
    directory: Path
    state: State
    damage: tuple[str, ...] = ()  # a sentence for each file that is not what it was
    study: str = ""
    sweep: str | None = None  # the name of its sweep
    stage: str = ""
    seed: int | None = None
    reward: Measured | None = None  # gold where there is one, else proxy, else any other
    kl: Measured | None = None
    iteration: int | None = None
    iterations: int | None = None  # of all
    changed: float | None = None  # unix seconds of its last word
    disk: Disk = Disk()  # with its points
    checkpoints: Disk = Disk()
    checkpoint: int | None = None  # the iteration of its last one that has its sha256
    parents: tuple[Key, ...] = ()  # the artifacts that it stands on, as far as it has come
    made: Key | None = None  # the artifact that it ended in
    reads: tuple[str, ...] = ()  # further paths that its config names: `sft.path`, ...
    points: tuple[RunEntry, ...] = ()  # of a KL path
    used_by: tuple[Path, ...] = ()  # the runs and artifacts that begin from it
    manifest: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_finished(self) -> bool:
        return self.state == "finished"

    @property
    def is_at_work(self) -> bool:
        return self.state in ("running", "waiting")

    @property
    def is_resumable(self) -> bool:
        """Whether the same command would go on from a checkpoint."""
        return not self.is_finished and not self.is_at_work and self.checkpoint is not None


@dataclass(frozen=True, kw_only=True)
class SweepEntry:
    name: str
    directory: Path
    study: str
    overrides: tuple[str, ...]  # of its command
    jobs: tuple[RunEntry, ...]
    parent: int | None  # the process that runs the jobs, if it is at work
    damage: tuple[str, ...] = ()
    report: Path | None = None  # of its comparison
    changed: float | None = None
    disk: Disk = Disk()  # with its jobs

    @property
    def states(self) -> Counter[State]:
        return Counter(job.state for job in self.jobs)


@dataclass(frozen=True, kw_only=True)
class ArtifactEntry:
    """What a stage has published: `<root>/<stage>/<fingerprint>/`."""

    key: Key
    directory: Path
    damage: tuple[str, ...] = ()
    parents: tuple[Key, ...] = ()
    reads: tuple[str, ...] = ()
    run: str | None = None  # the directory of the run that ended in it, as its manifest has it
    used_by: tuple[Path, ...] = ()  # directories of runs and artifacts
    changed: float | None = None
    disk: Disk = Disk()
    manifest: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return f"{self.key.stage}-{self.key.fingerprint}"


Kind = Literal["work", "incomplete", "damaged"]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A folder beside artifacts that is none: `work`, one in the making, or that of a killed maker,
    which the next one goes on with; `incomplete`, one without a manifest that stood in the way;
    `damaged`, one that was set aside."""

    key: Key  # of what it was to become, or was
    kind: Kind
    directory: Path
    at_work: bool | None = None  # whether its maker lives; None where nothing tells
    changed: float | None = None
    disk: Disk = Disk()


@dataclass(frozen=True, kw_only=True)
class Other:
    """A file or folder right below a root that is no run, sweep or artifact and holds none."""

    path: Path
    disk: Disk


@dataclass(frozen=True, kw_only=True)
class Inventory:
    roots: tuple[Path, ...]
    runs: tuple[RunEntry, ...] = ()  # those of no sweep
    sweeps: tuple[SweepEntry, ...] = ()
    artifacts: tuple[ArtifactEntry, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    others: tuple[Other, ...] = ()
    unread: tuple[Path, ...] = ()  # folders that this user may not read, whatever they hold
    unasked: tuple[str, ...] = ()  # a sentence for each of MLflow's stores that does not answer

    def every_run(self) -> Iterator[RunEntry]:
        """Single runs and the jobs of sweeps, without the points below them."""
        yield from self.runs
        for sweep in self.sweeps:
            yield from sweep.jobs

    @property
    def bytes(self) -> int:
        """On disk, each file once."""
        parts: tuple[Iterable[Any], ...] = (self.runs, self.sweeps, self.artifacts)
        return total(item.disk for part in (*parts, self.leftovers, self.others) for item in part)
