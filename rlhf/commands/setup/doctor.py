"""rlhf doctor [key=value ...]: what this machine can do, and whether a command would run

Nothing is trained, made or fetched."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf.commands.parts.parser import parser
from rlhf.rundir.secrets.redact import redact_message, redact_text

if TYPE_CHECKING:
    from rlhf.commands.parts.verdict import Verdict
    from rlhf.config.schema import Config

DESCRIPTION = """
What this machine and installation can do, and what the run of these settings needs: memory, disk,
responses, time."""
EXAMPLES = {
    "rlhf doctor": "this machine, and the run of the defaults",
    "rlhf doctor model=hf model.path=DIR trainer=gpu": "a run with these settings",
    "rlhf doctor -m kl.coef=0,0.1 seed=0,1": "a sweep",
}
EXIT_CODES = {
    0: "it would run",
    2: "it would be refused, and why",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 the command would run; 2 it would be refused."""
    args = _parser().parse_args(argv)
    from rlhf.commands.parts.verdict import verdict_of

    verdict = verdict_of(args)
    report = _report(verdict)
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        _show(report)
    return 2 if verdict.faults else 0


def _parser() -> argparse.ArgumentParser:
    return parser("doctor", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)


def _report(verdict: Verdict) -> dict[str, Any]:
    from rlhf.commands.parts.verdict import needs_of
    from rlhf.config.plugins.folders import conf_folders
    from rlhf.runs.machine import checkup

    cfg = verdict.config
    folders = ["outputs", "sweeps"] if cfg is None else [cfg.paths.outputs, cfg.paths.sweeps]
    fit = verdict.judged.fits.largest
    return {
        "versions": checkup.versions(),
        "machine": checkup.machine(),
        "threads": None if cfg is None else cfg.trainer.threads,
        "disks": checkup.disks(folders),
        "store": None if cfg is None else _store(cfg),
        "extras": checkup.extras(),
        "plugins": [
            {
                "name": each.name,
                "distribution": each.distribution,
                "version": each.version,
                "fault": fault or None,
            }
            for each, fault in conf_folders().every
        ],
        "hub": checkup.hub(),
        "command": {
            "settings": verdict.words,
            "jobs": len(verdict.planned.jobs),
            "runs": not verdict.faults,
            "faults": list(map(redact_message, verdict.faults)),
            "warnings": list(map(redact_message, verdict.warnings)),
            "needs": None if fit is None else needs_of(fit),
            "lines": verdict.judged.fits.lines(),
        },
    }


def _store(cfg: Config) -> dict[str, Any]:
    """Where runs are tracked, and why they cannot be."""
    from rlhf.config.pieces.tracking import mlflow_of
    from rlhf.runs.machine import checkup
    from rlhf.tracking.addresses import database
    from rlhf.tracking.database import examine
    from rlhf.tracking.store import refusal

    tracking = mlflow_of(cfg.tracking)
    if tracking is None:
        return {"uri": None, "fault": None, "state": "no MLflow"}
    path = database(tracking.uri)
    fault = refusal(tracking.uri, tracking.experiment)
    if path is None:
        if tracking.uri.startswith(("http://", "https://")):
            fault = checkup.unreachable(tracking.uri)
        state = "a server"
    else:
        new = fault is None and examine(path) == "none"
        state = "is made by the first run" if new else "opens"
    shown = None if fault is None else redact_message(fault)
    return {"uri": redact_text(tracking.uri), "fault": shown, "state": state}


def _show(report: dict[str, Any]) -> None:
    from rlhf.commands.parts.checkup import screen

    screen(report)
