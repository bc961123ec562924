"""The differences that are there before anything is trained: every run's config, packages, code,
machine, data and stages, then and now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rlhf.config.build import build
from rlhf.config.naming import deciding_config
from rlhf.config.properties import needed_stages
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES
from rlhf.data.records import Loaded
from rlhf.digests import digest
from rlhf.reproduce import differences
from rlhf.reproduce.differences import Difference
from rlhf.reproduce.kept import Kept, where_started
from rlhf.reproduce.target import Original
from rlhf.rundir.files import read_jsonl
from rlhf.stages.manifest import data_parts


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to be made again, and what it would stand on now."""

    original: Original
    config: Config
    root: Path  # where its relative paths start from
    differences: tuple[Difference, ...]
    fingerprints: dict[str, str]  # of the stages that are artifacts, now, in order
    data: str  # its fingerprint, now

    @property
    def parents(self) -> tuple[str, ...]:
        """The stages before its own, as far as it needs them."""
        return tuple(name for name in self.fingerprints if name != self.config.stage)

    @cached_property
    def store(self) -> Path:
        """The original's stage artifacts."""
        return (
            self.original.directory.parents[1]
            if self.original.is_artifact
            else self.root / self.config.paths.artifacts
        )

    def artifact(self, stage: str) -> Path | None:
        """The original's artifact of this stage, if it is still there."""
        name = self.original.fingerprints.get(stage)
        path = self.store / stage / name if name else None
        return path if path is not None and (path / "manifest.json").is_file() else None

    @property
    def comparable(self) -> bool:
        """Whether the original got far enough to be compared with."""
        if STAGES[self.config.stage].is_run:
            return bool(read_jsonl(self.original.directory / "metrics.jsonl"))
        return self.artifact(self.config.stage) is not None


@dataclass
class Checker:
    """Reads data once and makes each stage's fingerprint once, however many jobs share them. To
    be called where the paths start from."""

    _data: dict[object, Loaded] = field(default_factory=dict)
    _stages: dict[str, dict[str, str]] = field(default_factory=dict)

    def check(self, original: Original, kept: Kept) -> Job:
        """Raises DataError."""
        cfg = kept.config
        assert cfg is not None
        manifest = original.manifest
        data, prints = self._load(cfg).data, self._fingerprints(cfg)
        changes = [
            *kept.edits,
            *differences.packages(manifest),
            *differences.code(manifest),
            *differences.machine(manifest, gpu=cfg.trainer.accelerator == "cuda"),
            *differences.data(manifest, data.fingerprint, data_parts(data)),
            *differences.stages(original.fingerprints, prints),
        ]
        root = where_started(original, cfg) or Path.cwd()
        return Job(
            original=original,
            config=cfg,
            root=root,
            differences=tuple(changes),
            fingerprints=prints,
            data=data.fingerprint,
        )

    def _load(self, cfg: Config) -> Loaded:
        if cfg.data not in self._data:
            self._data[cfg.data] = Loaded.of(build(cfg.data))
        return self._data[cfg.data]

    def _fingerprints(self, cfg: Config) -> dict[str, str]:
        """Of the stages that are artifacts; they do not depend on what comes after them."""
        from rlhf.stages.context import StageContext
        from rlhf.stages.table import fingerprints

        last = [stage.name for stage in needed_stages(cfg) if not stage.is_run][-1]
        until = cfg.model_copy(update={"stage": last})
        key = digest(deciding_config(until.plain()))
        if key not in self._stages:
            context = StageContext(cfg=until, **self._load(cfg)._asdict(), run_directory=Path())
            self._stages[key] = fingerprints(context)
        return self._stages[key]


def common(jobs: Iterable[Job]) -> Mapping[Difference, list[str]]:
    """Each difference once, with the names of the jobs that have it."""
    names: dict[Difference, list[str]] = {}
    for job in jobs:
        for difference in job.differences:
            names.setdefault(difference, []).append(job.original.name)
    return names
