"""report.md and runs.csv: the answer first, then what it rests on."""

from __future__ import annotations

import csv
import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.compare.read.curves import KL
from rlhf.compare.read.provenance import fingerprints, manifests, revisions, shared, starts
from rlhf.compare.read.runs import Run
from rlhf.compare.read.searches import Crossing, Search
from rlhf.compare.statistics import health as sickness
from rlhf.compare.statistics.estimates import gap
from rlhf.compare.statistics.findings import GOLD, Findings, show
from rlhf.compare.statistics.settings import ABSENT, Setting, differing, order, reward_keys
from rlhf.compare.text import matched as matchedtext, searches as searchtext
from rlhf.compare.text.answer import Answer
from rlhf.compare.text.markdown import grid, plain
from rlhf.rundir.read import number, read_json
from rlhf.rundir.redact import redact_override

COLUMNS = (
    *("name", "status", "kl.coef", "kl.controller", "seed", "stage", "objective"),
    *("reward/proxy", "reward/proxy_se", "reward/gold", "reward/gold_se"),
    *(
        "kl/sequence_nats",
        "kl/sequence_nats_se",
        "kl/token_nats",
        "response/length",
        "response/ended",
        "policy/entropy",
    ),
    "copy_of",
)


def row(run: Run, table: dict[str, dict[str, Any]], copies: dict[str, str]) -> dict[str, Any]:
    """A run as a line of runs.csv: its summary's names, what differs, and the config's own words
    where it has no summary.

    `copies`: name of a run that is in no number -> name of the one of its seed that counts.
    """
    fixed = {
        "name": run.name,
        "status": run.status,
        "error": run.error or "",
        "directory": run.directory.name,
    }
    known = {
        "seed": run.config.get("seed"),
        "kl.coef": run.config.get("kl.coef"),
        "copy_of": copies.get(run.name),
    }
    varied = {
        key: column[run.name]
        for key, column in table.items()
        if run.name in column and column[run.name] != ABSENT
    }
    summary = {k: v for k, v in run.summary.items() if not isinstance(v, (dict, list))}
    prints = {f"fingerprint.{k}": v for k, v in (run.summary.get("fingerprints") or {}).items()}
    return {k: v for k, v in (known | varied | summary | prints | fixed).items() if v is not None}


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """One line a run. Columns that every sweep has come first; what a run lacks is empty."""
    names = [*COLUMNS, *sorted({key for line in rows for key in line} - set(COLUMNS))]
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def table(
    settings: Sequence[Setting], rewards: Sequence[str], found: Findings | None
) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the comparison, the SFT policy first."""
    names = [key.removeprefix("reward/") for key in rewards]
    head = [
        "setting",
        "runs",
        "KL (nats)",
        *names,
        *(["over SFT (se)"] if GOLD in rewards else []),
        "length",
        "ended",
    ]
    groups = [those for group in starts(settings) if (those := [s for s in group if s.sft])]
    lines = [
        [
            _start(those, alone=len(groups) == 1),
            *("", "0"),
            *(show(those[0].sft[k]) if k in those[0].sft else "-" for k in rewards),
            *([""] if GOLD in rewards else []),
            *("", ""),
        ]
        for those in groups
    ]
    for s in settings:
        gain = (
            [_signed(gap(s[GOLD], s.sft[GOLD]) if GOLD in s.sft else math.nan)]
            if GOLD in rewards
            else []
        )
        mark = " (best)" if found is not None and s is found.best else ""
        values = [
            show(s[KL]),
            *(show(s[k]) for k in rewards),
            *gain,
            _short(s["response/length"].mean),
            _percent(s["response/ended"].mean),
        ]
        lines.append([s.label + mark, _count(s, rewards), *values])
    return head, lines


def markdown(
    directory: Path,
    runs: Sequence[Run],
    settings: Sequence[Setting],
    found: Findings | None,
    said: Answer,
    picture: Path | None,
    searched: Sequence[Search | Crossing] = (),
    more: Sequence[str] = (),
) -> str:
    """report.md. `more`: finished sections of what only some sweeps have."""
    rewards = reward_keys(runs)
    parts = [f"# {plain(directory.name)}", *map(plain, said.paragraphs)]
    if picture is not None:
        parts.append(
            f"![Reward against KL for each setting of {plain(directory.name)}]({picture.name})"
        )
    parts += [searchtext.markdown(searched)] if searched else []
    if settings:
        where = "Every run's numbers are in [runs.csv](runs.csv)."
        parts += [
            "## Settings",
            grid(*table(settings, rewards, found)),
            f"{reading(settings)} {where}",
        ]
    parts += [
        *_unfinished(directory, runs),
        *_differences(runs),
        *_origins(runs),
        *_again(directory),
    ]
    parts += [
        *(part.rstrip() for part in more),
        *matchedtext.markdown(settings, found),
        *sickness.markdown(settings, runs),
    ]
    return ("\n\n".join(parts) + "\n").encode(errors="replace").decode()


def reading(settings: Sequence[Setting]) -> str:
    seeds = max(len(s.runs) for s in settings)
    noise = (
        "± is the standard error of the mean over seeds, and never less than the evaluation's own"
        " noise."
        if seeds > 1
        else (
            "Each setting has one run, so ± is the standard error of its evaluation and says"
            " nothing of other seeds."
        )
    )
    units = "KL is to the SFT policy, in nats a response. Rewards are on held-out prompts."
    copies = sum(len(s.copies) for s in settings)
    if not copies:
        return f"{noise} {units}"
    left = (
        f"{copies} run{'s repeat' if copies > 1 else ' repeats'} a seed of its setting and"
        f" {'are' if copies > 1 else 'is'} left out here"
    )
    return f"{noise} {units} {left}: of each seed the run that finished last counts."


def _start(group: Sequence[Setting], *, alone: bool) -> str:
    """The name of the SFT policy that these settings began from."""
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return "SFT" if alone else f"SFT of {group[0].label}{more}"


def _unfinished(directory: Path, runs: Sequence[Run]) -> list[str]:
    rest = [run for run in runs if not run.finished]
    if not rest:
        return []
    lines = [[run.name, run.status, (run.error or "")[:200], _log(directory, run)] for run in rest]
    return [
        "## Not finished",
        f"{len(rest)} of {len(runs)} runs did not finish and are in no number above.",
        grid(["run", "status", "error", "log"], lines),
    ]


def _log(directory: Path, run: Run) -> str:
    return (
        f"[{os.path.relpath(run.log, directory)}]({os.path.relpath(run.log, directory)})"
        if run.log.is_file()
        else ""
    )


def _differences(runs: Sequence[Run]) -> list[str]:
    found = differing(runs)
    if not found:
        seeds = {str(run.config.get("seed")) for run in runs}
        nothing = "Nothing but the seed." if len(seeds) > 1 else "Nothing, not even the seed."
        return ["## What differs", nothing] if len(runs) > 1 else []
    columns = found | {
        "seed": {run.name: run.config["seed"] for run in runs if "seed" in run.config}
    }
    lines = [
        [f"`{key}`", ", ".join(dict.fromkeys(str(v)[:200] for v in sorted(c.values(), key=order)))]
        for key, c in columns.items()
    ]
    return ["## What differs", grid(["key", "values"], lines)]


def _origins(runs: Sequence[Run]) -> list[str]:
    """Whether all runs stand on the same data and stages, and what made them."""
    lines = [
        [stage, shared(v), ", ".join(f"`{x[:12]}`" for x in v)]
        for stage, v in fingerprints(runs).items()
    ]
    if not lines:
        return []
    code = revisions(manifests(runs))
    made = [f"Code: revision {', '.join(code)}."] if code else []
    return ["## What they stand on", grid(["stage", "shared", "fingerprint"], lines), *made]


def again(directory: Path) -> list[str]:
    """The commands that make the sweep and its comparison; the first runs only what is missing.
    Secrets are hidden."""
    overrides = read_json(directory / "sweep.json").get("overrides")
    if not overrides:
        return []
    words = [shlex.quote(redact_override(str(o))) for o in overrides]
    return [" ".join(["rlhf", "-m", *words]), f"rlhf compare {shlex.quote(str(directory))}"]


def _again(directory: Path) -> list[str]:
    commands = "\n".join(again(directory))
    return (
        ["## Again", f"```\n{commands}\n```", "The first command runs only what is missing."]
        if commands
        else []
    )


def _count(setting: Setting, rewards: Sequence[str]) -> str:
    lost = max((setting[key].lost for key in rewards), default=0)
    return f"{len(setting.runs)}" + (f" ({lost} without a finite reward)" if lost else "")


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.1f}"


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.0f} %"


def metrics(found: Findings | None, runs: Sequence[Run]) -> dict[str, float]:
    """What the sweep's summary run says in numbers."""
    counts = {
        "runs/finished": float(sum(run.finished for run in runs)),
        "runs/not_finished": float(sum(not run.finished for run in runs)),
    }
    if found is None:
        return counts
    best = {f"best/{key}": found.best[key].mean for key in (found.key, KL)} | {
        "best/gain_se": found.gain
    }
    coef = number(found.best.values.get("kl.coef"))
    return (
        counts
        | best
        | ({"best/kl.coef": coef} if coef is not None else {})
        | ({"over_optimisation/gold_drop": found.drop} if math.isfinite(found.drop) else {})
    )
