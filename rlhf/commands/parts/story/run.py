"""The story of a run as plain values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.commands.parts.listed import as_json
from rlhf.commands.parts.listed.as_json import finite
from rlhf.commands.parts.story import again
from rlhf.compare.read import Run, series
from rlhf.compare.read.runs import load_run
from rlhf.config.naming import other_version
from rlhf.export.facts import lineage
from rlhf.export.made import Made
from rlhf.inventory import RunEntry
from rlhf.metrics import (
    DISAGREEMENT,
    ENDED,
    ENTROPY,
    GOLD,
    KL,
    LENGTH,
    METRICS,
    PROXY,
    Z95,
)
from rlhf.metrics.win_rates import WIN_RATE
from rlhf.rundir.noted import losses
from rlhf.rundir.read import Lines, collecting, last_lines, number, read_json, read_yaml
from rlhf.rundir.secrets.redact import redact_override, redact_text
from rlhf.tracking.links import directory_links

SAMPLES = 2
FEWEST = 4  # evaluations that make a curve; with fewer that of the training rollouts is shown
ALSO = (WIN_RATE, KL, LENGTH, ENDED, ENTROPY)
# of a stage before PPO, the first that its records have
LOSSES = ("val/perplexity", "val/accuracy", "val/loss", "train/loss")

Story = dict[str, Any]


def story(entry: RunEntry) -> Story:
    """What `--json` writes: the entry of `rlhf list`, and what its files tell."""
    directory = entry.directory
    with collecting():  # the entry names what is damaged
        run = load_run(directory)
        config = _config(entry)
        summary = run.summary
        damage = dict.fromkeys([*entry.damage, *_losses(entry)])
        made = Made(directory=directory, manifest=entry.manifest, summary=summary)
        rows = [_plain(row) for row in lineage(made)] if entry.manifest else []
        parents = rows[: 1 + len(entry.parents)]  # and not what it ended in
        samples = _samples(directory)
        drawn = curves(run) or _of_artifact(made)
    own_hash = str(entry.manifest.get("hash") or "")
    command = again.command(config, own_hash) if own_hash else None
    in_sweep = again.job_words(directory)
    return {
        **as_json.of_run(entry),
        "damage": list(damage),
        "error": run.error,
        "differs": finite(again.differing(config)) if config else {},
        "command": command,
        "job": in_sweep,
        "sweep_command": _sweep_command(directory) if in_sweep else None,
        "evaluation": evaluation(run),
        "curves": drawn,
        "samples": samples,
        "stands_on": parents,
        "paths": paths(directory),
        "links": directory_links(directory),
        "warnings": warnings(entry, summary),
        "next": going_on(entry, command),
        "log": last_lines(directory / "log.txt", 3) if not entry.is_finished else [],
    }


def _config(entry: RunEntry) -> dict[str, Any]:
    """The resolved config, of its manifest or its own file."""
    kept = entry.manifest.get("config")
    return kept if isinstance(kept, dict) else read_yaml(entry.directory / "config.yaml")


def _losses(entry: RunEntry) -> list[str]:
    """The records that are not what they were, all of them read; its policy by size alone."""
    named = {sentence.split(" ")[0].rstrip(":") for sentence in entry.damage}
    if not entry.is_finished:
        return []
    found = losses(entry.directory, policy=False)
    return [sentence for name, sentence in found.items() if name not in named]


def evaluation(run: Run) -> list[dict[str, Any]]:
    """The last evaluation, a row a number: `name`, `value`, half of its 95 % interval, and those of
    the first one (SFT) where it was asked for the same."""
    evaluated = [row for row in run.metrics if any(key.startswith("eval/") for key in row)]
    if not evaluated:
        return []
    first, last = (_bare(row) for row in (evaluated[0], evaluated[-1]))
    last = {**last, **{k: v for k, v in run.summary.items() if k in last}}
    keys = [key for key in last if key.startswith("reward/") and not key.endswith("_se")]
    rewards = sorted(keys, key=lambda k: (k not in (GOLD, PROXY), k != GOLD, k))
    rows = []
    for key in (*rewards, *(key for key in ALSO if key in last)):
        title = METRICS[key].label or METRICS[key].title if key in METRICS else key
        rows.append(
            {
                "name": key,
                "title": title if key in (*ALSO, GOLD, PROXY, DISAGREEMENT) else key.split("/")[-1],
                "iteration": evaluated[-1].get("iteration"),
                **_interval(last, key, ""),
                **(_interval(first, key, "sft_") if key != KL and first is not last else {}),
            }
        )
    return rows


def _bare(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix("eval/"): v for k, v in row.items() if k.startswith("eval/")}


def _interval(row: Mapping[str, Any], key: str, prefix: str) -> dict[str, Any]:
    value, error = number(row.get(key)), number(row.get(f"{key}_se"))
    half = None if error is None else Z95 * error
    return {f"{prefix}value": finite(value), f"{prefix}half_95": finite(half)}


def curves(run: Run) -> list[dict[str, Any]]:
    """Rewards and the KL by iteration: of the held-out prompts where they were asked often enough,
    else of the training rollouts; of a stage before PPO one of its losses."""
    keys = {key.removeprefix("eval/") for row in run.metrics for key in row}
    wanted = [key for key in (GOLD, PROXY) if key in keys]
    others = (k for k in sorted(keys) if k.startswith("reward/") and not k.endswith("_se"))
    wanted = wanted or [key for key in others if key != DISAGREEMENT][:2]
    drawn = [curve for key in (*wanted, KL) if (curve := _curve(run, key))]
    if drawn:
        return drawn
    first = (curve for key in LOSSES if (curve := _curve(run, key)))
    return [curve] if (curve := next(first, None)) else []


def _curve(run: Run, key: str) -> dict[str, Any] | None:
    held_out = series(run, f"eval/{key}")
    points = held_out if len(held_out) >= FEWEST else series(run, key) or held_out
    if not points:
        return None
    metric = METRICS.get(key)
    return {
        "name": key,
        "title": metric.heading.partition(":")[0] if metric else key,
        "held_out": points is held_out,
        "points": [list(point) for point in points],
    }


def _samples(directory: Path) -> list[dict[str, Any]]:
    """The first answers of the last evaluation, each with that of the SFT policy to the same
    prompt."""
    rows = Lines(directory / "samples.jsonl").read()
    if not rows:
        return []
    end, start = rows[-1]["iteration"], rows[0]["iteration"]
    before = {row.get("prompt"): row for row in reversed(rows) if row["iteration"] == start != end}
    last = [row for row in rows if row["iteration"] == end]
    return [
        {**_sample(row), **({"sft": _sample(b)} if (b := before.get(row.get("prompt"))) else {})}
        for row in last[:SAMPLES]
    ]


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = {key: row[key] for key in ("prompt", "response", "iteration") if key in row}
    numbers = {k: row[k] for k in row if k.startswith("reward/") or k == KL}
    return {**texts, **finite(numbers)}


def _sweep_command(directory: Path) -> str | None:
    """Of the sweep that a job is of."""
    kept = read_json(directory.absolute().parent / "sweep.json")
    words = list(map(redact_override, kept.get("overrides", ())))
    return again.sweep_command(words, kept.get("flags", ())) if words else None


def _of_artifact(made: Made) -> list[dict[str, Any]]:
    """The curves of a run whose stage is an artifact, which keeps the records."""
    place = made.resolved(str(made.summary["artifact"])) if "artifact" in made.summary else None
    return curves(load_run(place)) if place else []


def _plain(row: Mapping[str, str]) -> dict[str, str]:
    return {key: str(value).replace("`", "") for key, value in row.items()}


def paths(directory: Path) -> dict[str, str]:
    """What lies there that a person opens."""
    sweep = directory.parent
    places = {
        "log": directory / "log.txt",
        "config": directory / "config.yaml",
        "policy": directory / "policy",
        "samples": directory / "samples.jsonl",
        "report": sweep / "report.html",
    }
    return {name: os.path.relpath(place) for name, place in places.items() if place.exists()}


def warnings(entry: RunEntry, summary: Mapping[str, Any]) -> list[str]:
    """What its makers wrote down, and what has come since."""
    known = [str(sentence) for sentence in summary.get("warnings") or ()]
    return [
        redact_text(sentence) for sentence in (*known, other_version(entry.directory)) if sentence
    ]


def going_on(entry: RunEntry, command: str | None) -> list[tuple[str, str]]:
    """(a command, what it does)"""
    place = os.path.relpath(entry.directory)
    sweep = entry.directory.parent
    in_sweep = (sweep / "sweep.json").is_file()
    compare = [(f"rlhf compare {os.path.relpath(sweep)}", "beside the others")] if in_sweep else []
    if entry.is_at_work:
        return [
            (f"tail -f {place}/log.txt", "what it does now"),
            *([(f"rlhf compare --status {os.path.relpath(sweep)}", "its sweep")] * in_sweep),
        ]
    if entry.is_finished:
        has_policy = entry.made is not None and entry.stage == "sft"
        talks = [(f"rlhf sample {place}", "talk to it"), (f"rlhf export {place}", "for others")]
        return [
            *compare,
            *(talks if (entry.directory / "policy").is_dir() or has_policy else []),
            (f"rlhf reproduce {place}", "the same numbers again?"),
        ]
    command = _sweep_command(entry.directory) or command if in_sweep else command
    start = f"goes on from iteration {entry.checkpoint}" if entry.is_resumable else "begins it"
    return [(command, start)] if command else [(f"rlhf reproduce {place}", "makes it anew")]


def shown_words(differs: Mapping[str, Any]) -> Sequence[str]:
    """key=value, as on a command line."""
    return [f"{key}={again.written(value)}" for key, value in differs.items()]
