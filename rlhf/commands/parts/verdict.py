"""A command that is asked about and not given: what `rlhf doctor` and `rlhf plan` have in
common."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

from rlhf.commands.parts.judged import Judged, judge
from rlhf.config.allow import allow
from rlhf.config.composition.composer import REFUSALS, reason
from rlhf.config.composition.plan import Plan, plan
from rlhf.config.composition.session import session
from rlhf.config.plugins.folders import conf_folders
from rlhf.config.schema import Config
from rlhf.runs.machine.fits import Fit


@dataclass
class Verdict:
    """The command, and whether it would run."""

    words: list[str]
    planned: Plan = field(default_factory=Plan)
    judged: Judged = field(default_factory=lambda: Judged([]))
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def config(self) -> Config | None:
        """Of the first job, where it is right."""
        return next((job.config for job in self.planned.jobs if job.config is not None), None)


def verdict_of(args: argparse.Namespace) -> Verdict:
    """Reads, composes and checks the command as a run does."""
    allow(*args.allow_targets)
    verdict = Verdict(args.words)
    try:
        verdict.warnings = conf_folders(args.config_dir).warnings
        with session(args.config_dir) as hydra:
            verdict.planned = plan(hydra, args.words, multirun=args.multirun)
            verdict.faults = list(verdict.planned.faults)
            if not verdict.faults:
                verdict.judged = judge(verdict.planned)
                verdict.faults = verdict.judged.faults
    except (FileNotFoundError, *REFUSALS) as error:
        verdict.faults = [reason(error)]
    verdict.warnings += [*verdict.planned.warnings, *verdict.judged.fits.cautions()]
    return verdict


def needs_of(fit: Fit) -> dict[str, Any]:
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
        "responses": fit.responses,
        "seconds": fit.seconds,
    }
