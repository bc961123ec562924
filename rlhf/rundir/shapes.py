"""What the files of a run hold, by their names: a value of another type, or a job whose name is no
folder's, is left out and named, so that readers need not ask."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

# (value, its place in words, the faults so far) -> the value without what does not fit, or ABSENT
Rule = Callable[[Any, str, list[str]], Any]
ABSENT = object()
NONFINITE = ("nan", "inf", "-inf")


def number(value: Any) -> float | None:
    """A float for a number or one of "nan", "inf", "-inf"; None for anything else."""
    try:
        return float(value) if isinstance(value, (int, float)) or value in NONFINITE else None
    except OverflowError:  # a whole number beyond all floats
        return math.inf if value > 0 else -math.inf


def one(expected: str, fits: Callable[[Any], bool]) -> Rule:
    def clean(value: Any, where: str, faults: list[str]) -> Any:
        if fits(value):
            return value
        faults.append(f"{where} is {_shown(value)}, expected {expected}")
        return ABSENT

    return clean


def each(rule: Rule) -> Rule:
    """A list, of whose items those stay that fit."""

    def clean(value: Any, where: str, faults: list[str]) -> Any:
        if not isinstance(value, list):
            return one("a list", lambda _: False)(value, where, faults)
        items = [rule(item, f"{where}[{i}]", faults) for i, item in enumerate(value)]
        return [item for item in items if item is not ABSENT]

    return clean


def fields(rules: Mapping[str, Rule], *needed: str, rest: Rule | None = None) -> Rule:
    """A mapping, of which `rules` hold for the keys that it has, `rest` for all others. One without
    those `needed` does not fit."""

    def clean(value: Any, where: str, faults: list[str]) -> Any:
        if not isinstance(value, Mapping):
            return one("a mapping", lambda _: False)(value, where, faults)
        before, kept = f"{where}." if where else "", dict[str, Any]()
        for key, item in value.items():
            rule = rules.get(key, rest)
            fitting = item if rule is None else rule(item, f"{before}{key}", faults)
            if fitting is not ABSENT:
                kept[key] = fitting
        if lacking := [key for key in needed if key not in kept]:
            faults.append(f"{where or 'it'} has no {' and no '.join(lacking)}")
            return ABSENT
        return kept

    return clean


def or_null(rule: Rule) -> Rule:
    return lambda value, where, faults: None if value is None else rule(value, where, faults)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_real(value: Any) -> bool:
    """Also nan and inf, but no whole number beyond all floats."""
    if isinstance(value, float):
        return True
    known = number(value)
    return known is not None and (math.isfinite(known) or not isinstance(value, int))


def _is_reals(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return {*map(type, value)} <= {int, float} or all(number(x) is not None for x in value)


def _is_folder(value: Any) -> bool:
    return (
        isinstance(value, str)
        and value not in ("", ".", "..")
        and not {"/", "\\", "\0"} & {*value}
        and len(value.encode(errors="replace")) <= 255
    )


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


TEXT = one("text", lambda value: isinstance(value, str))
WHOLE = one("a whole number", _is_whole)
REAL = one("a number", _is_real)
SECONDS = one(
    "a number of seconds",
    lambda value: isinstance(value, (int, float)) and -1e12 < value < 1e12,
)
SWITCH = one("true or false", lambda value: isinstance(value, bool))
FOLDER = one("the name of a folder", _is_folder)
TEXTS, MAPPING = each(TEXT), fields({})
NAMED_TEXTS = fields({}, rest=TEXT)
_METRICS = fields({"warnings": TEXTS})

OWNER = {"pid": WHOLE, "host": TEXT, "time": SECONDS}
STATUS = fields(
    {
        **OWNER,
        "state": TEXT,
        "stage": or_null(TEXT),
        "title": or_null(TEXT),
        "iteration": WHOLE,
        "iterations": WHOLE,
        "exit_code": or_null(WHOLE),
        "error": or_null(TEXT),
    }
)
LAUNCHED = {"state": TEXT, "exit_code": or_null(WHOLE), "seconds": SECONDS}
LAUNCHER = fields({**OWNER, "working": SWITCH, "jobs": fields({}, rest=fields(LAUNCHED))})
SWEEP = fields(
    {
        "name": TEXT,
        "study": TEXT,
        "overrides": TEXTS,
        "flags": TEXTS,
        "jobs": each(fields({"name": FOLDER, "overrides": TEXTS}, "name")),
    }
)
MANIFEST = fields(
    {
        **dict.fromkeys(("kind", "stage", "hash", "config_hash", "run", "policy_sha256"), TEXT),
        "hash_version": WHOLE,
        "git": fields({"revision": or_null(TEXT), "dirty": SWITCH, "changes": TEXT}),
        "versions": NAMED_TEXTS,
        "hardware": NAMED_TEXTS,
        "fingerprints": NAMED_TEXTS,
        "ensemble": TEXTS,
        "data": fields({}, rest=fields({"rows": WHOLE, "sha256": TEXT}, "rows", "sha256")),
        "config": MAPPING,
        "metrics": _METRICS,
        "files": fields({}, rest=fields({"bytes": WHOLE, "sha256": TEXT}, "bytes", "sha256")),
    }
)
SUMMARY = fields(
    {
        **dict.fromkeys(("name", "config_hash", "status", "stage", "artifact"), TEXT),
        "fingerprints": NAMED_TEXTS,
        "warnings": TEXTS,
        **dict.fromkeys(("kl.coef", "kl.coef_final", "objective"), REAL),
        **dict.fromkeys(("wall_seconds", "cpu_seconds"), SECONDS),
        **dict.fromkeys(("seed", "iterations", "point_iterations", "episodes"), WHOLE),
        "path": fields({"run": TEXT, "point": WHOLE, "points": WHOLE}, "run", "point", "points"),
    }
)
_REALS = one("a list of numbers", _is_reals)
_POINTS = each(fields({"kl": REAL, "reward": REAL}, "kl", "reward"))
ORACLE = fields(
    {
        **{"frontier": _POINTS, "best_of_n": _POINTS, "target": fields({"beta": REAL})},
        "realign": each(fields({"lambda": REAL, "beta": REAL}, "lambda")),
    },
    *("frontier", "best_of_n"),
)
BEST_OF_N = fields({"points": each(fields({"n": WHOLE}, "n"))})
REALIGN = fields(
    {
        **dict.fromkeys(("version", "prompts", "responses", "seed"), WHOLE),
        "curves": each(
            fields({"by": TEXT, "points": each(fields({}, "lambda", rest=REAL))}, "by", "points")
        ),
        "timings": fields({}, rest=SECONDS),
    },
    "curves",
)
ROW = fields({"iteration": WHOLE}, "iteration", rest=or_null(REAL))
TIMING = fields(
    {"iteration": WHOLE, **dict.fromkeys(("seconds", "cpu", "time"), SECONDS)},
    *("iteration", "seconds"),
)
_EVERY_PROMPT = fields(
    {"iteration": WHOLE, "prompts": TEXT}, *("iteration", "prompts", "responses"), rest=_REALS
)
SAMPLE = fields({"iteration": WHOLE, "prompt": TEXT, "response": TEXT}, "iteration")


def _by_prompt(value: Any, where: str, faults: list[str]) -> Any:
    """A row of values, one each prompt; those of another length do not fit."""
    row = _EVERY_PROMPT(value, where, faults)
    if row is ABSENT:
        return ABSENT
    count = len(row["responses"])
    odd = [key for key, item in row.items() if isinstance(item, list) and len(item) != count]
    faults += [f"{key} has {len(row[key])} values, expected {count}" for key in odd]
    return {key: item for key, item in row.items() if key not in odd}


SHAPES: dict[str, Rule] = {
    "status.json": STATUS,
    "launcher.json": LAUNCHER,
    "sweep.json": SWEEP,
    "manifest.json": MANIFEST,
    "summary.json": SUMMARY,
    "best_of_n.json": BEST_OF_N,
    "oracle.json": ORACLE,
    "realign.json": REALIGN,
    "metrics.jsonl": ROW,
    "timings.jsonl": TIMING,
    "samples.jsonl": SAMPLE,
    "by_prompt.jsonl": _by_prompt,
}


def fitting(name: str, value: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """What fits of a mapping out of the file of this name (of a JSON Lines file: a row of it), None
    where that is nothing; and a sentence for each value that does not."""
    faults: list[str] = []
    kept = SHAPES.get(name, MAPPING)(value, "", faults)
    if name == "summary.json" and kept is not ABSENT:
        kept = {k: v for k, v in kept.items() if _is_metric_or_other(k, v, faults)}
    return (None if kept is ABSENT else dict(kept)), faults


def _is_metric_or_other(key: str, value: Any, faults: list[str]) -> bool:
    """False for a metric (`reward/gold`) that is no number."""
    return "/" not in key or or_null(REAL)(value, key, faults) is not ABSENT
