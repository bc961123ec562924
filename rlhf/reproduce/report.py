"""How a reproduction came out: in a sentence, and number by number for reproduction.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rlhf.config.stages import STAGES
from rlhf.reproduce.check import Job, common
from rlhf.reproduce.target import Target
from rlhf.reproduce.verdict import JobComparison, StageComparison
from rlhf.rundir.words import plural

ORIGINAL_WAS = {
    "running": "still running",
    "failed": "cut by a failure",
    "time limit": "stopped by its time limit",
    "stopped": "stopped",
    "cut": "cut",
}
NEW_RUN = {"failed": "failed", "stopped": "stopped", "cut": "was cut"}


def sentence(job: JobComparison) -> str:
    """`bitwise equal: 60 iterations, 41 metrics, weights and samples`"""
    own, state = job.own, job.job.original.state
    ended = f"the new run {NEW_RUN.get(job.now.state, 'did not finish')}"
    if not own.compared:
        return (
            f"nothing could be compared: {own.note}"
            if job.finished
            else f"{ended} before there was anything to compare"
        )
    unit, metrics = STAGES[own.stage].unit, plural(len(own.metrics), "metric")
    until = plural(min(own.iterations), unit)
    cut = f"it was {ORIGINAL_WAS.get(state, 'not finished')} at {unit} {own.iterations[0]}"
    as_far = "" if state == "finished" else f" as far as the original goes ({cut})"
    if job.equal:
        also = [name for name in ("weights", "samples") if getattr(own, name) is not None]
        parts = [until, metrics, *also]
        stages = " and ".join(stage.stage for stage in job.stages[:-1] if stage.compared)
        before = f"; {stages} too" if stages else ""
        return f"bitwise equal{as_far}: {', '.join(parts[:-1])} and {parts[-1]}{before}"
    if own.equal and not job.finished:
        return f"{ended}; until then bitwise equal{as_far}: {until}, {metrics}"
    if own.equal:
        wrong = " and ".join(stage.stage for stage in job.stages[:-1] if not stage.equal)
        return f"not equal: {own.stage} is bitwise equal{as_far}, but not {wrong}"
    return f"not equal: {'; '.join(_off(own))}" + ("" if job.finished else f"; {ended}")


def _off(own: StageComparison) -> list[str]:
    """The differences, metrics first."""
    unit, metrics = STAGES[own.stage].unit, plural(len(own.metrics), "metric")
    parts = [f"all {metrics} of {unit} 0 to {min(own.iterations)} are equal"]
    if own.off:
        first = f"the first ({own.off[0].name}) from {unit} {own.off[0].first}"
        parts = [f"{len(own.off)} of {metrics} differ, {first}"]
    if own.missing:
        parts.append(f"{unit}s 0 to {own.iterations[0]} then, 0 to {own.iterations[1]} now")
    if own.weights and not own.weights.equal:
        parts.append("weights differ")
    if own.samples and own.samples.differing:
        parts.append(f"{own.samples.differing} of {plural(own.samples.rows, 'sample')} differ")
    return parts


def conclusion(
    target: Target,
    jobs: Sequence[JobComparison],
    skipped: Sequence[str],
    other_version: Sequence[str] = (),
    unreadable: Sequence[str] = (),
) -> str:
    """The last sentence of the whole. `skipped`, `other_version`, `unreadable`: jobs that had not
    begun, that were made under another version of the run hash, and whose config cannot be read."""
    if target.kind != "sweep":
        return sentence(jobs[0])
    left = f"; {plural(len(skipped), 'job')} of it had not begun" if skipped else ""
    if other_version:
        left += f"; left out {plural(len(other_version), 'job')} of another version of the run hash"
    if unreadable:
        left += f"; left out {plural(len(unreadable), 'job')} whose config cannot be read"
    failed = sum(not job.finished for job in jobs)
    off = sum(not job.equal for job in jobs) - failed
    if off or failed:
        of = f"of {plural(len(jobs), 'job')}"
        parts = [f"{off} {of} differ"] if off else []
        parts += [f"{failed} {of} did not finish"] if failed else []
        return f"not equal: {'; '.join(parts)}{left}"
    cut = sum(job.job.original.state != "finished" for job in jobs)
    as_far = f" ({cut} as far as the original goes)" if cut else ""
    count = {1: "1 job", 2: "both jobs"}.get(len(jobs), f"all {len(jobs)} jobs")
    return (
        f"bitwise equal: {count}{as_far}, every metric of every iteration, weights and samples"
        f"{left}"
    )


# --- for reproduction.json


def differences(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Each with the jobs that have it, if those are not all."""
    return [
        {**asdict(difference), **({"jobs": names} if len(names) < len(jobs) else {})}
        for difference, names in common(jobs).items()
    ]


def of_job(job: JobComparison) -> dict[str, Any]:
    return {
        "name": job.job.original.name,
        "then": {"directory": str(job.job.original.directory), "state": job.job.original.state},
        "now": {"directory": str(job.now.directory), "state": job.now.state},
        "equal": job.equal,
        "sentence": sentence(job),
        "stages": [_of_stage(stage) for stage in job.stages],
    }


def _of_stage(stage: StageComparison) -> dict[str, Any]:
    if not stage.compared:
        return {"stage": stage.stage, "compared": False, "why": stage.note}
    samples = stage.samples
    return {
        "stage": stage.stage,
        "compared": True,
        "equal": stage.equal,
        "then": str(stage.then),
        "now": str(stage.now),
        "last_iteration": {"then": stage.iterations[0], "now": stage.iterations[1]},
        "missing_iterations": list(stage.missing),
        "metrics": {
            m.name: {"equal": m.equal, **{k: v for k, v in asdict(m).items() if k != "name"}}
            for m in stage.metrics
        },
        "weights": stage.weights and asdict(stage.weights),
        "samples": samples and {"equal": not samples.differing, **asdict(samples)},
    }
