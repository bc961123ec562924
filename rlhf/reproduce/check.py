"""The differences that are there before anything is trained: every run's config, packages, code,
machine, data and stages, then and now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

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
from rlhf.stages.provenance.manifest import data_parts


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

    def artifact(self, stage: str) -> Path | None:
        """The original's artifact of this stage, if it is still there."""
        original = self.original
        store = (
            original.directory.parents[1]
            if original.is_artifact
            else self.root / self.config.paths.artifacts
        )
        path = store / stage / original.fingerprints.get(stage, "")
        return path if (path / "manifest.json").is_file() else None

    @property
    def comparable(self) -> bool:
        """Whether the original got far enough to be compared with."""
        stage = self.config.stage
        return bool(
            read_jsonl(self.original.directory / "metrics.jsonl")
            if STAGES[stage].is_run
            else self.artifact(stage)
        )


def check(copies: Iterable[Kept]) -> list[Job]:
    """The job of each kept config. Data is read once and each stage's fingerprint made once,
    however many jobs share them. To be called where the paths start from.

    Raises:
        DataError: a job's data is wrong.
    """
    from rlhf.stages.context import StageContext
    from rlhf.stages.table import fingerprints

    known: dict[str, dict[str, str]] = {}
    load, jobs = cache(_load), []
    for kept in copies:
        cfg, original, manifest = kept.config, kept.original, kept.original.manifest
        assert cfg is not None
        loaded = load(cfg.data)
        # stages that are artifacts do not depend on what comes after them
        made = [stage.name for stage in needed_stages(cfg) if not stage.is_run]
        key = digest([made, deciding_config({**cfg.plain(), "stage": made[-1]})])
        context = StageContext(cfg=cfg, **loaded._asdict(), run_directory=Path())
        prints = known[key] = known.get(key) or fingerprints(context, runs=False)
        print_of_data = loaded.data.fingerprint
        changes = (
            *kept.edits,
            *differences.packages(manifest),
            *differences.code(manifest),
            *differences.machine(manifest, gpu=cfg.trainer.accelerator == "cuda"),
            *differences.legs(manifest),
            *differences.data(manifest, print_of_data, data_parts(loaded.data)),
            *differences.stages(original.fingerprints, prints),
        )
        job = Job(
            original=original,
            config=cfg,
            root=where_started(original, cfg) or Path.cwd(),
            differences=changes,
            fingerprints=prints,
            data=print_of_data,
        )
        there = {stage: path for stage in prints if (path := job.artifact(stage))}
        damaged = (d for stage in there for d in differences.damaged(stage, there[stage]))
        jobs.append(replace(job, differences=(*changes, *damaged)))
    return jobs


def _load(piece: Any) -> Loaded:
    return Loaded.of(build(piece))


def common(jobs: Iterable[Job]) -> Mapping[Difference, list[str]]:
    """Each difference once, with the names of the jobs that have it."""
    names: dict[Difference, list[str]] = {}
    for job in jobs:
        for difference in job.differences:
            names.setdefault(difference, []).append(job.original.name)
    return names
