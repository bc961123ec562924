"""What already differs, before anything is trained: every run's config, packages, code, machine,
data and stages, then and now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.config.build import build
from rlhf.config.naming import identity
from rlhf.config.properties import needs_reward_model
from rlhf.config.schema import Config
from rlhf.data.records import TaskData
from rlhf.digests import digest
from rlhf.reproduce import differences
from rlhf.reproduce.differences import Difference
from rlhf.reproduce.kept import Kept, where_started
from rlhf.reproduce.target import STAGES, Original
from rlhf.rundir.files import read_jsonl

if TYPE_CHECKING:
    from rlhf.stages.context import Workshop


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to be made again, and what it would stand on now."""

    original: Original
    config: Config
    root: Path  # where its relative paths start from
    differences: tuple[Difference, ...]
    fingerprints: dict[str, str]  # of the stages, now
    data: str  # its fingerprint, now

    @property
    def parents(self) -> tuple[str, ...]:
        """The stages before its own, as far as it needs them."""
        return tuple(
            stage
            for stage in STAGES[: STAGES.index(self.config.stage)]
            if stage in self.fingerprints
        )

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
        if self.config.stage == "ppo":
            return bool(read_jsonl(self.original.directory / "metrics.jsonl"))
        return self.artifact(self.config.stage) is not None


@dataclass
class Checker:
    """Reads data once and makes each stage's fingerprint once, however many jobs share them. To
    be called where the paths start from."""

    _data: dict[object, TaskData] = field(default_factory=dict)
    _stages: dict[str, dict[str, str]] = field(default_factory=dict)

    def check(self, original: Original, kept: Kept) -> Job:
        """Raises DataError."""
        cfg = kept.config
        assert cfg is not None
        made = original.manifest
        data, now = self._load(cfg), self._fingerprints(cfg)
        found = [
            *kept.edits,
            *differences.packages(made),
            *differences.code(made),
            *differences.machine(made, gpu=cfg.trainer.accelerator == "cuda"),
            *differences.data(made, data.fingerprint, self._parts(data)),
            *differences.stages(original.fingerprints, now),
        ]
        root = where_started(original, cfg) or Path.cwd()
        return Job(
            original=original,
            config=cfg,
            root=root,
            differences=tuple(found),
            fingerprints=now,
            data=data.fingerprint,
        )

    def _load(self, cfg: Config) -> TaskData:
        if cfg.data not in self._data:
            self._data[cfg.data] = build(cfg.data).load()
        return self._data[cfg.data]

    def _parts(self, data: TaskData) -> dict[str, dict[str, object]]:
        from rlhf.stages.manifest import data_parts

        return data_parts(data)

    def _fingerprints(self, cfg: Config) -> dict[str, str]:
        from rlhf.stages.context import Workshop
        from rlhf.stages.reward_model import reward_model_fingerprint
        from rlhf.stages.sft import sft_fingerprint

        wanted = cfg.stage == "reward_model" or (
            cfg.stage == "ppo"
            and needs_reward_model(cfg.scorer, cfg.ppo, cfg.algorithm, cfg.advantage)
        )
        key = digest([wanted, _without_later(cfg)])
        if key not in self._stages:
            shop: Workshop = Workshop(
                cfg=cfg, source=build(cfg.data), data=self._load(cfg), run_directory=Path()
            )
            now = {"sft": sft_fingerprint(shop)}
            if wanted:
                now["reward_model"] = reward_model_fingerprint(shop, now["sft"])
            self._stages[key] = now
        return self._stages[key]


def _without_later(cfg: Config) -> dict[str, object]:
    return identity({**cfg.plain(), "stage": "reward_model"})


def common(jobs: Iterable[Job]) -> Mapping[Difference, list[str]]:
    """Each difference once, with the names of the jobs that have it."""
    found: dict[Difference, list[str]] = {}
    for job in jobs:
        for difference in job.differences:
            found.setdefault(difference, []).append(job.original.name)
    return found
