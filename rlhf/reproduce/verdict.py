"""A job against its original, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlhf.config.stages import STAGES
from rlhf.digests import file_digest
from rlhf.models.files.adapter import weights_file
from rlhf.reproduce import numbers
from rlhf.reproduce.check import Job
from rlhf.reproduce.numbers import MetricComparison, SampleComparison, WeightComparison
from rlhf.reproduce.place import reusable
from rlhf.reproduce.target import Original, read_original
from rlhf.rundir.files import read_jsonl


@dataclass(frozen=True, kw_only=True)
class StageComparison:
    """`then` and `now` are None where that side has nothing; `note` says why nothing was
    compared."""

    stage: str
    then: Path | None = None
    now: Path | None = None
    iterations: tuple[int, int] = (0, 0)  # the last one of each side
    # iterations that one side lacks; what an original that was cut never reached is not among them
    missing: tuple[int, ...] = ()
    shared: int = 0  # iterations that were compared, the one before training included
    metrics: tuple[MetricComparison, ...] = ()
    samples: SampleComparison | None = None
    weights: WeightComparison | None = None
    note: str = ""

    @property
    def compared(self) -> bool:
        return bool(self.shared)

    @property
    def off(self) -> list[MetricComparison]:
        """The metrics that differ, the first to differ first."""
        return sorted((m for m in self.metrics if not m.equal), key=lambda m: (m.first, -m.max_rel))

    @property
    def equal(self) -> bool:
        samples = self.samples is None or not self.samples.differing
        weights = self.weights is None or self.weights.equal
        return not self.off and not self.missing and samples and weights


@dataclass(frozen=True, kw_only=True)
class JobComparison:
    job: Job
    now: Original
    stages: tuple[StageComparison, ...]

    @property
    def finished(self) -> bool:
        return self.now.state == "finished"

    @property
    def own(self) -> StageComparison:
        return self.stages[-1]

    @property
    def equal(self) -> bool:
        return self.finished and self.own.compared and all(stage.equal for stage in self.stages)


def compare(jobs: Mapping[Path, Job], store: Path, *, reuse: bool) -> list[JobComparison]:
    """Each job against its original; a stage that several jobs share is compared once.

    Args:
        jobs: by the directory where each was made again.
        store: the artifacts that were made again.
        reuse: stages that the config still asks for were taken over.
    """
    compared = cache(_stage)

    def artifact(job: Job, stage: str) -> StageComparison:
        path = store / stage / job.fingerprints[stage]
        # or the folder of one that did not get to its end
        places = (path, path.with_name(f"{path.name}.work"))
        return compared(stage, job.artifact(stage), next(filter(Path.is_dir, places), None))

    comparisons = []
    for directory, job in jobs.items():
        own, taken_over = job.config.stage, reusable(job) if reuse else ()
        stages = [
            StageComparison(stage=stage, note="taken over")
            if stage in taken_over
            else artifact(job, stage)
            for stage in job.parents
        ]
        if STAGES[own].is_run:
            whole = job.original.state == "finished"
            stages.append(_stage(own, job.original.directory, directory, whole=whole))
        else:
            stages.append(artifact(job, own))
        comparisons.append(
            JobComparison(job=job, now=read_original(directory), stages=tuple(stages))
        )
    return comparisons


def _stage(
    stage: str, then: Path | None, now: Path | None, *, whole: bool = True
) -> StageComparison:
    """`whole`: the original came to its end."""
    if then is None or now is None:
        note = "the original is no longer there" if then is None else "was not made"
        return StageComparison(stage=stage, then=then, now=now, note=note)
    rows = numbers.by_iteration(then), numbers.by_iteration(now)
    shared = [iteration for iteration in rows[0] if iteration in rows[1]]
    missing = rows[0].keys() ^ rows[1].keys() if whole else rows[0].keys() - rows[1].keys()
    # a stage whose result was given has none on either side: its weights alone are compared
    nothing = f"no {STAGES[stage].unit} that both have" if rows[0] or rows[1] else "not trained"
    (digest, file), (new_digest, new_file) = (_weights(stage, place) for place in (then, now))
    return StageComparison(
        stage=stage,
        then=then,
        now=now,
        iterations=(max(rows[0], default=0), max(rows[1], default=0)),
        missing=tuple(sorted(missing)),
        shared=len(shared),
        metrics=numbers.compare_metrics(*rows),
        samples=numbers.compare_samples(
            read_jsonl(then / "samples.jsonl"), read_jsonl(now / "samples.jsonl"), shared
        ),
        weights=numbers.compare_weights(digest, new_digest, (file, new_file)),
        note="" if shared else nothing,
    )


def _weights(stage: str, directory: Path) -> tuple[str | None, Path]:
    """The digest of a stage's weights, and their file. Of a run's own it is the summary's: written
    when they were saved."""
    if STAGES[stage].is_run:
        path = weights_file(directory / "policy")
        return read_original(directory).summary.get("policy_sha256"), path
    path = weights_file(directory)
    return file_digest(path) if path.is_file() else None, path
