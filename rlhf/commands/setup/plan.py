"""rlhf plan [-m] key=value ...: the runs of a command, how each stands, and what they need

Nothing is trained, made or fetched."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rlhf.commands.parts.parser import parser
from rlhf.rundir.secrets.redact import redact_message, redact_override

if TYPE_CHECKING:
    from rlhf.commands.parts.verdict import Verdict
    from rlhf.runs.planned.jobs import PlannedRun

DESCRIPTION = """
The runs of a command without running them: the name and the directory of each, whether it is
finished, would go on or would start, which of its stages are made, and what all of them need:
memory, disk, responses, time."""
EXAMPLES = {
    "rlhf plan experiment=quickstart": "the jobs of a sweep, and which of them are finished",
    "rlhf plan -m kl.coef=0,0.1 seed=0,1": "of any command",
    "rlhf plan experiment=quickstart --json": "for a program",
}
EXIT_CODES = {0: "the command would run", 2: "it would be refused, and why"}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 the command would run; 2 it would be refused."""
    args = _parser().parse_args(argv)
    from rlhf.commands.parts.verdict import verdict_of

    verdict = verdict_of(args)
    faults = list(map(redact_message, verdict.faults))
    report = _report(verdict, faults)
    if args.json:
        print(json.dumps(report, indent=2))
    elif faults:
        from rlhf.commands.parts.shown import refuse

        return refuse(faults)
    else:
        from rlhf.commands.parts.planned import screen

        screen(report, verdict.judged.fits.lines())
    return 2 if faults else 0


def _parser() -> argparse.ArgumentParser:
    return parser("plan", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)


def _report(verdict: Verdict, faults: Sequence[str]) -> dict[str, Any]:
    from rlhf.commands.parts.verdict import needs_of
    from rlhf.runs.planned.jobs import planned_run
    from rlhf.runs.planned.totals import shared_stages, totals

    planned, judged, cfg = verdict.planned, verdict.judged, verdict.config
    runs = [
        planned_run(job.config, job.directory, overrides=job.overrides, stages=job.stages)
        for job in (() if faults else judged.jobs)
    ]
    fit = judged.fits.largest
    warnings = [*verdict.warnings, *(run.why for run in runs if run.would == "be refused")]
    return {
        "command": {
            "settings": list(map(redact_override, verdict.words)),
            "sweep": planned.name if planned.sweep else None,
            "directory": None if cfg is None else _directory(verdict),
            "trials": planned.searches,
            "runs": not faults,
            "faults": list(faults),
            "warnings": list(dict.fromkeys(map(redact_message, warnings))),
        },
        "jobs": list(map(_plain, runs)),
        "stages": list(map(asdict, shared_stages(runs))),
        "needs": None if fit is None or faults else needs_of(fit),
        "totals": None
        if faults
        else asdict(totals(runs, [job.fit for job in judged.jobs], judged.fits.at_once)),
    }


def _directory(verdict: Verdict) -> str:
    """Of the sweep, or of the run alone."""
    cfg = verdict.config
    assert cfg is not None
    if verdict.planned.sweep:
        return cfg.paths.sweep_dir
    return str(verdict.judged.jobs[0].directory) if verdict.judged.jobs else cfg.paths.run_dir


def _plain(run: PlannedRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "hash": run.hash,
        "overrides": list(map(redact_override, run.overrides)),
        "directory": str(run.directory),
        "state": run.state,
        "would": run.would,
        **({"why": run.why} if run.why else {}),
        "iteration": run.at,
        "iterations": run.iterations,
        "stages": {state.name: state.known for state in run.stages},
    }
