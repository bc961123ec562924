"""A job against its original: stage by stage, and in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf.digests import file_digest
from rlhf.reproduce import numbers
from rlhf.reproduce.check import Job
from rlhf.reproduce.numbers import MetricComparison, SampleComparison, WeightComparison
from rlhf.reproduce.target import Original, read_original
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.words import plural

UNIT = {"ppo": "iteration"}  # of the others it is an epoch


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
        return (
            not self.off
            and not self.missing
            and samples
            and (self.weights is None or self.weights.equal)
        )


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


class Comparer:
    """Compares jobs with their originals; a stage that several jobs share is compared once."""

    def __init__(self, store: Path) -> None:
        """`store`: the artifacts that were made again."""
        self.store = store
        self._seen: dict[tuple[Path | None, Path | None], StageComparison] = {}

    def compare(self, job: Job, directory: Path, *, reused: Sequence[str] = ()) -> JobComparison:
        """`directory`: where the job was made again."""
        stages = [
            StageComparison(stage=s, note="taken over") if s in reused else self._artifact(job, s)
            for s in job.parents
        ]
        if job.config.stage == "ppo":
            whole = job.original.state == "finished"
            stages.append(
                _stage("ppo", job.original.directory, directory, whole=whole, digest=_recorded)
            )
        else:
            stages.append(self._artifact(job, job.config.stage))
        return JobComparison(job=job, now=read_original(directory), stages=tuple(stages))

    def _artifact(self, job: Job, stage: str) -> StageComparison:
        pair = job.artifact(stage), _made(self.store / stage / job.fingerprints[stage])
        if pair not in self._seen:
            self._seen[pair] = _stage(stage, *pair, whole=True)
        return self._seen[pair]


def _made(path: Path) -> Path | None:
    """What a stage left: its artifact, or what there is of one that did not get to its end."""
    return next(
        (place for place in (path, path.with_name(f"{path.name}.work")) if place.is_dir()), None
    )


def _stage(
    stage: str,
    then: Path | None,
    now: Path | None,
    *,
    whole: bool,
    digest: Callable[[Path], tuple[str | None, Path]] | None = None,
) -> StageComparison:
    if then is None or now is None:
        note = "the original is no longer there" if then is None else "was not made"
        return StageComparison(stage=stage, then=then, now=now, note=note)
    rows = numbers.by_iteration(then), numbers.by_iteration(now)
    shared = [iteration for iteration in rows[0] if iteration in rows[1]]
    missing = rows[0].keys() ^ rows[1].keys() if whole else rows[0].keys() - rows[1].keys()
    weights = [(digest or _of_file)(place) for place in (then, now)]
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
        weights=numbers.compare_weights(
            weights[0][0], weights[1][0], (weights[0][1], weights[1][1])
        ),
        note="" if shared else f"no {UNIT.get(stage, 'epoch')} that both have",
    )


def _recorded(directory: Path) -> tuple[str | None, Path]:
    """The final policy's digest as the summary has it: written when it was saved."""
    return (
        read_original(directory).summary.get("policy_sha256"),
        directory / "policy" / "model.safetensors",
    )


def _of_file(directory: Path) -> tuple[str | None, Path]:
    path = directory / "model.safetensors"
    if not path.is_file():
        return None, path
    return file_digest(path), path


# --- in words


def sentence(made: JobComparison) -> str:
    """`bitwise equal: 60 iterations, 41 metrics, weights and samples`"""
    own, original = made.own, made.job.original
    ways = {"failed": "failed", "stopped": "stopped", "cut": "was cut"}
    ended = f"the new run {ways.get(made.now.state, 'did not finish')}"
    if not own.compared:
        return (
            f"nothing could be compared: {own.note}"
            if made.finished
            else f"{ended} before there was anything to compare"
        )
    unit = UNIT.get(own.stage, "epoch")
    as_far = (
        ""
        if original.state == "finished"
        else f" as far as the original goes (it was {_how(original)} at {unit} {own.iterations[0]})"
    )
    until = min(own.iterations)
    if made.equal:
        parts = [plural(until, unit), plural(len(own.metrics), "metric"), *_also(own)]
        stages = [stage.stage for stage in made.stages[:-1] if stage.compared]
        before = f"; {' and '.join(stages)} too" if stages else ""
        return f"bitwise equal{as_far}: {', '.join(parts[:-1])} and {parts[-1]}{before}"
    if own.equal and not made.finished:
        return (
            f"{ended}; until then bitwise equal{as_far}: {plural(until, unit)},"
            f" {plural(len(own.metrics), 'metric')}"
        )
    if own.equal:
        wrong = " and ".join(stage.stage for stage in made.stages[:-1] if not stage.equal)
        return f"not equal: {own.stage} is bitwise equal{as_far}, but not {wrong}"
    said = [f"{len(own.off)} of {plural(len(own.metrics), 'metric')} differ"] if own.off else []
    if own.off:
        said[0] += f", the first ({own.off[0].name}) from {unit} {own.off[0].first}"
    else:
        said.append(f"all {plural(len(own.metrics), 'metric')} of {unit} 0 to {until} are equal")
    if own.missing:
        said.append(f"{unit}s 0 to {own.iterations[0]} then, 0 to {own.iterations[1]} now")
    if own.weights and not own.weights.equal:
        said.append("weights differ")
    if own.samples and own.samples.differing:
        said.append(f"{own.samples.differing} of {plural(own.samples.rows, 'sample')} differ")
    return f"not equal: {'; '.join(said)}" + ("" if made.finished else f"; {ended}")


def _how(original: Original) -> str:
    words = {
        "running": "still running",
        "failed": "cut by a failure",
        "time limit": "stopped by its time limit",
        "stopped": "stopped",
        "cut": "cut",
    }
    return words.get(original.state, "not finished")


def _also(stage: StageComparison) -> list[str]:
    """What else was compared and is equal."""
    return [
        name
        for name, found in (("weights", stage.weights), ("samples", stage.samples))
        if found is not None
    ]
