"""reproduction.json: what was compared and how it came out, number by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rlhf.reproduce.check import Job, common
from rlhf.reproduce.target import Target
from rlhf.reproduce.verdict import JobComparison, StageComparison, sentence
from rlhf.rundir.words import plural


def differences(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Each with the jobs that have it, if those are not all."""
    return [
        {**asdict(difference), **({"jobs": names} if len(names) < len(jobs) else {})}
        for difference, names in common(jobs).items()
    ]


def _of_stage(stage: StageComparison) -> dict[str, Any]:
    if not stage.compared:
        return {"stage": stage.stage, "compared": False, "why": stage.note}
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
        "weights": asdict(stage.weights) if stage.weights else None,
        "samples": (
            {"equal": not stage.samples.differing, **asdict(stage.samples)}
            if stage.samples
            else None
        ),
    }


def of_job(job: JobComparison) -> dict[str, Any]:
    return {
        "name": job.job.original.name,
        "then": {"directory": str(job.job.original.directory), "state": job.job.original.state},
        "now": {"directory": str(job.now.directory), "state": job.now.state},
        "equal": job.equal,
        "sentence": sentence(job),
        "stages": [_of_stage(stage) for stage in job.stages],
    }


def conclusion(target: Target, jobs: Sequence[JobComparison], skipped: Sequence[str]) -> str:
    """The last sentence of the whole."""
    if target.kind != "sweep":
        return sentence(jobs[0])
    left = f"; {plural(len(skipped), 'job')} of it had not begun" if skipped else ""
    failed = sum(not job.finished for job in jobs)
    off = sum(not job.equal for job in jobs) - failed
    if not off and not failed:
        cut = sum(job.job.original.state != "finished" for job in jobs)
        as_far = f" ({cut} as far as the original goes)" if cut else ""
        count = (
            "both jobs" if len(jobs) == 2 else f"all {len(jobs)} jobs" if len(jobs) > 1 else "1 job"
        )
        return (
            f"bitwise equal: {count}{as_far}, every metric of every iteration, weights and"
            f" samples{left}"
        )
    parts = [f"{off} of {plural(len(jobs), 'job')} differ"] if off else []
    parts += [f"{failed} of {plural(len(jobs), 'job')} did not finish"] if failed else []
    return f"not equal: {'; '.join(parts)}{left}"
