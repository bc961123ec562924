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
        {**asdict(found), **({"jobs": names} if len(names) < len(jobs) else {})}
        for found, names in common(jobs).items()
    ]


def _of_stage(made: StageComparison) -> dict[str, Any]:
    if not made.compared:
        return {"stage": made.stage, "compared": False, "why": made.note}
    return {
        "stage": made.stage,
        "compared": True,
        "equal": made.equal,
        "then": str(made.then),
        "now": str(made.now),
        "last_iteration": {"then": made.iterations[0], "now": made.iterations[1]},
        "missing_iterations": list(made.missing),
        "metrics": {
            m.name: {"equal": m.equal, **{k: v for k, v in asdict(m).items() if k != "name"}}
            for m in made.metrics
        },
        "weights": asdict(made.weights) if made.weights else None,
        "samples": (
            {"equal": not made.samples.differing, **asdict(made.samples)} if made.samples else None
        ),
    }


def of_job(made: JobComparison) -> dict[str, Any]:
    return {
        "name": made.job.original.name,
        "then": {"directory": str(made.job.original.directory), "state": made.job.original.state},
        "now": {"directory": str(made.now.directory), "state": made.now.state},
        "equal": made.equal,
        "sentence": sentence(made),
        "stages": [_of_stage(found) for found in made.stages],
    }


def conclusion(target: Target, made: Sequence[JobComparison], skipped: Sequence[str]) -> str:
    """The last sentence of the whole."""
    if target.kind != "sweep":
        return sentence(made[0])
    left = f"; {plural(len(skipped), 'job')} of it had not begun" if skipped else ""
    failed = sum(not found.finished for found in made)
    off = sum(not found.equal for found in made) - failed
    if not off and not failed:
        cut = sum(found.job.original.state != "finished" for found in made)
        as_far = f" ({cut} as far as the original goes)" if cut else ""
        count = (
            "both jobs" if len(made) == 2 else f"all {len(made)} jobs" if len(made) > 1 else "1 job"
        )
        return (
            f"bitwise equal: {count}{as_far}, every metric of every iteration, weights and"
            f" samples{left}"
        )
    parts = [f"{off} of {plural(len(made), 'job')} differ"] if off else []
    parts += [f"{failed} of {plural(len(made), 'job')} did not finish"] if failed else []
    return f"not equal: {'; '.join(parts)}{left}"
