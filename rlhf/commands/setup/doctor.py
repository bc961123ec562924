"""rlhf doctor [key=value ...]: what this machine can do, and whether a command would run

Nothing is trained, made or fetched."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf.commands.parts.judged import Judged, judge
from rlhf.commands.parts.parser import Parser
from rlhf.config.allow import add_option, allow
from rlhf.config.composition.composer import REFUSALS, reason
from rlhf.config.composition.plan import Plan, plan
from rlhf.config.composition.session import session
from rlhf.config.pieces.tracking import mlflow_of
from rlhf.config.schema import Config
from rlhf.rundir.secrets.redact import redact_message, redact_text
from rlhf.runs.machine import checkup
from rlhf.runs.machine.fits import Fit

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


@dataclass
class Verdict:
    """The command that was asked about."""

    words: list[str]
    planned: Plan = field(default_factory=Plan)
    judged: Judged = field(default_factory=lambda: Judged([]))
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def config(self) -> Config | None:
        """Of the first job, where it is right."""
        return next((job.config for job in self.planned.jobs if job.config is not None), None)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 the command would run; 2 it would be refused."""
    args = _parser().parse_args(argv)
    allow(*args.allow_targets)
    verdict = _verdict(args)
    report = _report(verdict)
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        _show(report)
    return 2 if verdict.faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("doctor", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    option = parser.add_argument
    option("words", nargs="*", metavar="key=value", help="the settings of a run or a sweep")
    option("-m", "--multirun", action="store_true", help="the settings are a sweep's")
    option("--json", action="store_true", help="everything as JSON")
    option("--config-dir", metavar="DIR", help="groups of your own")
    add_option(parser)
    return parser


def _verdict(args: argparse.Namespace) -> Verdict:
    verdict = Verdict(args.words)
    try:
        with session(args.config_dir) as hydra:
            verdict.planned = plan(hydra, args.words, multirun=args.multirun)
            verdict.faults = list(verdict.planned.faults)
            if not verdict.faults:
                verdict.judged = judge(verdict.planned)
                verdict.faults = verdict.judged.faults
    except (FileNotFoundError, *REFUSALS) as error:
        verdict.faults = [reason(error)]
    verdict.warnings = [*verdict.planned.warnings, *verdict.judged.fits.cautions()]
    return verdict


def _report(verdict: Verdict) -> dict[str, Any]:
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
        "hub": checkup.hub(),
        "command": {
            "settings": verdict.words,
            "jobs": len(verdict.planned.jobs),
            "runs": not verdict.faults,
            "faults": list(map(redact_message, verdict.faults)),
            "warnings": list(map(redact_message, verdict.warnings)),
            "needs": None if fit is None else _needs(fit),
            "lines": verdict.judged.fits.lines(),
        },
    }


def _store(cfg: Config) -> dict[str, Any]:
    """Where runs are tracked, and why they cannot be."""
    from rlhf.tracking.database import examine
    from rlhf.tracking.store import database, refusal

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


def _needs(fit: Fit) -> dict[str, Any]:
    """The estimate of the job that needs most memory; bytes and seconds."""
    return {
        "memory": {
            peak.stage: {"peak": peak.size, **{term.name: term.size for term in peak.terms}}
            for peak in fit.every_peak
        },
        "memory_limit": fit.limit,
        "disk": [
            {"place": str(need.place), "least": need.least, "most": need.most, "free": need.free}
            for need in fit.disks
        ],
        "responses": fit.estimate.responses,
        "seconds": fit.seconds,
    }


def _show(report: dict[str, Any]) -> None:
    from rlhf.commands.parts.checkup import screen

    screen(report)
