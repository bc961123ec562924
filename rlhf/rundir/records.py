"""The rows that a run records iteration by iteration: a copy for its checkpoints, put back from
there, and the digests by which a finished run is seen to be whole.

No torch. Rows that lie after a checkpoint are no loss: a resumed run writes them again, the same.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlhf.rundir.files import write_bytes
from rlhf.rundir.read import name_odd
from rlhf.rundir.words import few

METRICS, TIMINGS, SAMPLES, BY_PROMPT = FILES = (
    "metrics.jsonl",
    "timings.jsonl",
    "samples.jsonl",
    "by_prompt.jsonl",
)
RESULTS = ("best_of_n.json", "oracle.json")  # written once; where the run makes them
POLICY = "policy"  # the folder of what it ended with
EACH_ITERATION = (METRICS, TIMINGS)  # one row an iteration, 0 included


def rows_of(data: bytes, path: Path | None = None) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file. A line that a kill has cut is left out; so is one that is none
    of its rows, and named where it is known which file (`path`) it is in."""
    rows, odd = [], []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        row = _row_of(line)
        rows += [] if row is None else [row]
        odd += [str(number)] if row is None and line.strip() else []
    if odd and path is not None:
        lines = f"line{'s' if len(odd) > 1 else ''} {few(odd)}"
        name_odd(path, f"{lines}: no row of an iteration; left out")
    return rows


def _row_of(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("iteration"), int) else None


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def contents(directory: Path) -> dict[str, bytes]:
    """The record files as they are, by name; one that is not there is empty."""
    return {name: _read(directory / name) for name in FILES}


# --- in checkpoints


def packed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The record files, compressed, by name."""
    return {name: zlib.compress(data) for name, data in files.items()}


def unpacked(copy: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that `packed` has a copy of."""
    return {name: zlib.decompress(copy[name]) for name in FILES if name in copy}


def put_back(directory: Path, kept: Mapping[str, bytes]) -> list[str]:
    """Makes the record files what they were, so that later rows are dropped. Returns the names of
    those that had lost or changed something."""
    now = contents(directory)
    for name, then in kept.items():
        if now[name] != then:
            write_bytes(directory / name, then)
    return changed(kept, now)


def changed(then: Mapping[str, bytes], now: Mapping[str, bytes]) -> list[str]:
    """The names of the files that have not only grown."""
    return [name for name, data in then.items() if not now[name].startswith(data)]


def without_evaluation(files: Mapping[str, bytes], iteration: int) -> dict[str, bytes]:
    """The record files of a run that goes on past its last iteration, as if that had not been
    evaluated. The row of iteration 0 is an evaluation and nothing else."""
    rows = rows_of(files[METRICS])
    evaluated = rows[0].keys() - {"iteration"} if rows else set()
    if not rows or rows[-1]["iteration"] != iteration or not evaluated & rows[-1].keys():
        return dict(files)
    last = {key: value for key, value in rows[-1].items() if key not in evaluated}
    kept = {METRICS: [*rows[:-1], last]}
    for name in (SAMPLES, BY_PROMPT):
        kept[name] = [r for r in rows_of(files[name]) if r["iteration"] != iteration]
    return {**files, **{name: _lines(rows) for name, rows in kept.items()}}


def cut_back(directory: Path, iteration: int, *, evaluated: bool = True) -> None:
    """Drops the rows after `iteration`, where no copy says what they were; with `evaluated=False`
    also the evaluation of that iteration."""
    kept = {}
    for name, data in contents(directory).items():
        rows = rows_of(data, directory / name)
        kept[name] = _lines(row for row in rows if row["iteration"] <= iteration)
    put_back(directory, kept if evaluated else without_evaluation(kept, iteration))


def until(files: Mapping[str, bytes], iteration: int) -> dict[str, bytes]:
    """The record files without the rows after an iteration."""
    return {
        name: _lines(row for row in rows_of(data) if row["iteration"] <= iteration)
        for name, data in files.items()
    }


def missing_rows(files: Mapping[str, bytes], iteration: int) -> str:
    """The iterations up to this one that a file does not have exactly once, of the files that have
    one row for each: `metrics.jsonl lacks iteration 3, 4`; empty where all are there."""
    sentences = []
    for name in EACH_ITERATION:
        there = Counter(row["iteration"] for row in rows_of(files.get(name, b"")))
        if lacking := [str(i) for i in range(iteration + 1) if not there[i]]:
            sentences.append(f"{name} lacks iteration {few(lacking)}")
        if repeated := [str(i) for i in range(iteration + 1) if there[i] > 1]:
            sentences.append(f"{name} repeats iteration {few(repeated)}")
    return "; ".join(sentences)


def last_recorded(directory: Path) -> int:
    """The highest iteration of the metrics; -1 where there are none."""
    path = directory / METRICS
    return max((row["iteration"] for row in rows_of(_read(path), path)), default=-1)
