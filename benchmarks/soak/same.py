"""Whether a folder of runs is as the one that nothing happened to: every row, weight and summary,
and what MLflow has of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROWS = ("metrics.jsonl", "samples.jsonl", "by_prompt.jsonl")
WEIGHTS = ("*.safetensors", "tokenizer*.json", "config.json", "generation_config.json")
# by the clock, by how often it was started, or for onlookers
OTHER = ("*.lock", "log.txt", "launcher.json", "mlflow.db*", "mlartifacts", "checkpoints")
ASIDE = "*.damaged*"  # what was damaged, kept for whoever wants to look
STRAYS = ("*.tmp", "*.work", "*.incomplete-*", "hpc_ckpt*", "tmp*", "*.partial", "core*")
CLOCK = (
    "wall_seconds",
    "cpu_seconds",
    "seconds",
    "cpu",
    "time",
    "begun",
    "legs",
    "warnings",
    "exact_resume",
)
NOTHING: dict[str, Any] = {"runs": Counter(), "params": set(), "rows": Counter()}


@dataclass
class Difference:
    """How a folder differs from the reference."""

    divergences: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    strays: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.divergences or self.lost or self.doubled or self.strays)

    def rows(self, name: str, before: Counter[Any], after: Counter[Any]) -> None:
        """Notes the rows that are missing, and those that are more; a row with another value is
        both."""
        lost, more = (before - after).total(), (after - before).total()
        self.lost, self.doubled = self.lost + lost, self.doubled + more
        if lost or more:
            self.divergences.append(f"{name}: {lost} rows missing, {more} too many or different")


def compare(folder: Path, reference: Path, *, store: bool = True) -> Difference:
    """
    Args:
        store: also what MLflow's database in `outputs/` has.
    """
    difference = Difference()
    files = {str(path.relative_to(reference)) for path in kept(reference)}
    for name in sorted(files):
        _compare_file(difference, name, folder / name, reference / name)
    for path in kept(folder):
        name = str(path.relative_to(folder))
        if name not in files and any(fnmatch(part, s) for part in path.parts for s in STRAYS):
            difference.strays.append(name)
        elif name not in files:
            difference.divergences.append(f"{name} is there, and was not")
    difference.strays += stray_files(folder, checkpoints_only=True)
    if store:
        stores = (tracked(d / "outputs/mlflow.db") for d in (reference, folder))
        compare_stores(difference, *stores, made_again(folder))
    return difference


def kept(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        aside = any(fnmatch(part, other) for part in parts for other in (*OTHER, ASIDE))
        if path.is_file() and not aside:
            yield path


def stray_files(folder: Path, *, checkpoints_only: bool = False) -> list[str]:
    """What is left half-written below the folder."""
    pattern = "checkpoints/*" if checkpoints_only else "*"
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob(pattern))
        if path.is_file() and any(fnmatch(path.name, stray) for stray in STRAYS)
    ]


def _compare_file(difference: Difference, name: str, path: Path, original: Path) -> None:
    if not path.is_file():
        difference.divergences.append(f"{name} is missing")
        difference.lost += len(lines(original)) if path.name in ROWS else 0
    elif path.name in ROWS and path.read_bytes() != original.read_bytes():
        difference.rows(name, Counter(lines(original)), Counter(lines(path)))
        if lines(original) != lines(path) and Counter(lines(original)) == Counter(lines(path)):
            difference.divergences.append(f"{name}: the same rows in another order")
    elif path.name == "timings.jsonl":
        difference.rows(name, Counter(iterations(original)), Counter(iterations(path)))
    elif path.name == "summary.json":
        one, two = (json.loads(file.read_text()) for file in (original, path))
        keys = [k for k in one | two if k not in CLOCK and repr(one.get(k)) != repr(two.get(k))]
        if keys:
            difference.divergences.append(f"{name} differs in {', '.join(keys)}")
    elif any(fnmatch(path.name, w) for w in WEIGHTS) and path.read_bytes() != original.read_bytes():
        difference.divergences.append(f"{name} has other bytes")


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def iterations(path: Path) -> list[Any]:
    """Of each row; a line that is none stands for itself."""
    return [_iteration(line) for line in lines(path)]


def _iteration(line: bytes) -> Any:
    try:
        return json.loads(line)["iteration"]
    except (ValueError, TypeError, KeyError):
        return line


def made_again(folder: Path) -> Counter[str]:
    """How often each stage was made again because its artifact was damaged, by the name of its
    runs in MLflow: it has one more each time."""
    aside = folder.glob(f"outputs/artifacts/*/{ASIDE}")
    return Counter(f"{path.parent.name} {path.name[:8]}" for path in aside if path.is_dir())


def compare_stores(
    difference: Difference,
    reference: dict[str, dict[str, Any]],
    now: dict[str, dict[str, Any]],
    again: Counter[str] | None = None,
) -> None:
    """Notes what MLflow lost or has twice, between two values of `tracked`. `again`: runs of which
    there may be more, by `made_again`."""
    for name in reference | now:
        before, after = reference.get(name, NOTHING), now.get(name, NOTHING)
        if times := (again or Counter())[name]:
            before, after = (_once(run, before, times) for run in (before, after))
        difference.rows(f"MLflow {name}", before["rows"], after["rows"])
        if before["runs"] != after["runs"]:
            difference.divergences.append(
                f"MLflow {name}: runs {dict(before['runs'])} became {dict(after['runs'])}"
            )
        if missing := before["params"] - after["params"]:
            difference.divergences.append(f"MLflow {name}: {len(missing)} params missing")


def _once(run: dict[str, Any], reference: dict[str, Any], times: int) -> dict[str, Any]:
    """The run without what is there a second time, up to `times` more."""
    counted = {}
    for part in ("runs", "rows"):
        allowed = {key: count * times for key, count in reference[part].items()}
        more = run[part] - reference[part]
        counted[part] = run[part] - Counter({k: min(n, allowed.get(k, 0)) for k, n in more.items()})
    return {**run, **counted}


def tracked(database: Path, experiment: str | None = None) -> dict[str, dict[str, Any]]:
    """Name of an MLflow run -> how many runs of it there are and how each ended, the names of its
    params, and its rows: key, step and value, those by the clock without their value."""
    if not database.exists():
        return {}
    with tempfile.TemporaryDirectory() as scratch:  # a copy: a reader may have to roll back a write
        for path in database.parent.glob("mlflow.db*"):
            shutil.copy2(path, scratch)
        try:
            with closing(sqlite3.connect(Path(scratch, database.name))) as db:
                return _runs(db, experiment)
        except sqlite3.Error as error:
            return {f"the database ({error})": {**NOTHING, "runs": Counter(unreadable=1)}}


def _runs(db: sqlite3.Connection, experiment: str | None) -> dict[str, dict[str, Any]]:
    runs: dict[str, dict[str, Any]] = {}
    query = (
        "select run_uuid, r.name, status from runs r join experiments e using (experiment_id)"
        " where r.lifecycle_stage = 'active' and e.name like ?"
    )
    for run_id, name, status in db.execute(query, (experiment or "%",)).fetchall():
        run = runs.setdefault(name, {"runs": Counter(), "params": set(), "rows": Counter()})
        run["runs"][status] += 1
        # a sweep's summary is written anew by every comparison: what it comes to is what counts
        table = "latest_metrics" if name.startswith("sweep ") else "metrics"
        # the machine's own metrics are by the clock: how many there are, and of what, too
        for key, step, value in db.execute(
            f"select key, step, value from {table} where run_uuid = ? and key not like 'system/%'",
            (run_id,),
        ):
            clock = key.rpartition("/")[2] in CLOCK
            run["rows"][key, step, None if clock else value] += 1
        names = db.execute("select key from params where run_uuid = ?", (run_id,))
        run["params"] |= {key for (key,) in names}
    return runs
