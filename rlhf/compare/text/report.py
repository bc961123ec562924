"""runs.csv, and the parts of report.md that tell of the runs themselves: those that did not finish,
what differs between them, what they stand on, how they are made again."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.compare.read import Run, inexact, revisions, shared
from rlhf.compare.statistics import ABSENT, Study, order
from rlhf.compare.text.costs import path_cells
from rlhf.compare.text.tables import grid
from rlhf.metrics import KL, RUN_COLUMNS
from rlhf.rundir.read import number, read_json
from rlhf.rundir.secrets.redact import redact_override

FIRST = ("name", "status", "kl.coef", "kl.controller", "seed", "stage", *RUN_COLUMNS, "copy_of")


def columns(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those of runs.csv. Columns that every sweep has come first."""
    return [*FIRST, *sorted({key for line in lines for key in line} - set(FIRST))]


def every(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that any of the lines has, in the order in which they come."""
    return list(dict.fromkeys(key for line in lines for key in line))


def rows(study: Study) -> list[dict[str, Any]]:
    """The runs as lines of runs.csv: the summary's names, what differs, and the config's own words
    where there is no summary."""
    return [_row(study, run) for run in study.runs]


def _row(study: Study, run: Run) -> dict[str, Any]:
    line = {
        "seed": run.config.get("seed"),
        "kl.coef": run.config.get("kl.coef"),
        "copy_of": study.copies.get(run.name),
        **{
            key: column[run.name]
            for key, column in study.differing.items()
            if column.get(run.name, ABSENT) != ABSENT
        },
        **{k: v for k, v in run.summary.items() if not isinstance(v, (dict, list))},
        **path_cells(run),
        **{f"fingerprint.{k}": v for k, v in (run.summary.get("fingerprints") or {}).items()},
        "name": run.name,
        "status": run.status,
        "error": run.error or "",
        "directory": run.directory.name,
    }
    return {key: value for key, value in line.items() if value is not None}


def unfinished(study: Study) -> str:
    """The runs that did not finish, each with its log."""
    if not study.unfinished:
        return ""
    logs = [os.path.relpath(run.log, study.directory) for run in study.unfinished]
    lines = [
        [
            *(run.name, run.status, (run.error or "")[:200]),
            f"[{log}]({log})" if run.log.is_file() else "",
        ]
        for run, log in zip(study.unfinished, logs, strict=True)
    ]
    count = (
        f"{len(lines)} of {len(study.runs)} runs did not finish and are left out of every number"
        " above."
    )
    return f"## Not finished\n\n{count}\n\n{grid(['run', 'status', 'error', 'log'], lines)}"


def differences(study: Study) -> str:
    """The keys that differ, each with its values; nothing to say of a single run."""
    if not study.differing:
        seeds = len({str(run.config.get("seed")) for run in study.runs})
        nothing = "Nothing but the seed." if seeds > 1 else "Nothing, not even the seed."
        return f"## What differs\n\n{nothing}" if len(study.runs) > 1 else ""
    by_run = {run.name: run.config["seed"] for run in study.runs if "seed" in run.config}
    lines = [
        [f"`{key}`", ", ".join(dict.fromkeys(str(v)[:200] for v in sorted(c.values(), key=order)))]
        for key, c in (study.differing | {"seed": by_run}).items()
    ]
    return f"## What differs\n\n{grid(['key', 'values'], lines)}"


def origins(study: Study) -> str:
    """Whether all runs stand on the same data and stages, and the code that made them."""
    lines = [
        [stage, shared(prints), ", ".join(f"`{x[:12]}`" for x in prints)]
        for stage, prints in study.fingerprints.items()
    ]
    table, code = grid(["stage", "shared", "fingerprint"], lines), revisions(study.manifests)
    made_by = f"\n\nCode: revision {', '.join(code)}." if code else ""
    legs = "".join(f"\n\n{sentence}" for sentence in inexact(study.manifests))
    return f"## Shared data and stages\n\n{table}{made_by}{legs}" if lines else ""


# of an older sweep, which did not note them
FLAGS = " Give it the `--config-dir` and `--allow-targets` that the sweep had, if any."


def again(directory: Path) -> list[str]:
    """The commands that make the sweep and its comparison; the first runs only what is missing.
    Secrets are hidden."""
    kept = read_json(directory / "sweep.json")
    if not kept.get("overrides"):
        return []
    words = [*kept.get("flags", ()), "-m", *(redact_override(str(o)) for o in kept["overrides"])]
    return [f"rlhf {shlex.join(words)}", f"rlhf compare {shlex.quote(str(directory))}"]


def repeat(study: Study) -> str:
    """The same commands as a section."""
    commands = "\n".join(again(study.directory))
    section = f"## Again\n\n```\n{commands}\n```\n\nThe first command runs only what is missing."
    known = "flags" in read_json(study.directory / "sweep.json")
    return section + ("" if known else FLAGS) if commands else ""


def metrics(study: Study) -> dict[str, float]:
    """The numbers of the sweep's summary run."""
    counts = {
        "runs/finished": float(len(study.runs) - len(study.unfinished)),
        "runs/not_finished": float(len(study.unfinished)),
    }
    findings = study.findings
    if findings is None:
        return counts
    best = {f"best/{key}": findings.best[key].mean for key in (findings.key, KL)}
    coef = number(findings.best.values.get("kl.coef"))
    gain, drop = findings.gain, findings.drop
    known = {
        "best/gain": gain.mean,
        "best/gain_low": gain.low,
        "best/gain_high": gain.high,
        "over_optimisation/gold_drop": drop.mean,
    }
    return (
        counts
        | best
        | {name: value for name, value in known.items() if math.isfinite(value)}
        | ({"best/kl.coef": coef} if coef is not None else {})
    )
