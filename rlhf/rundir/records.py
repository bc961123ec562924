"""The rows that a run records iteration by iteration: a copy for its checkpoints, put back from
there, and the digests by which a finished run is seen to be whole.

No torch. Rows that lie after a checkpoint are no loss: a resumed run writes them again, the same.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlhf.digests import file_digest
from rlhf.rundir.disk.aside import strays
from rlhf.rundir.files import flatten, write_bytes
from rlhf.rundir.read import name_odd, read_json
from rlhf.rundir.status import is_finished
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


# --- of a finished run


def digests(directory: Path) -> dict[str, dict[str, Any]]:
    """{"metrics.jsonl": {"rows": 61, "sha256": ...}, ...} of what the run recorded, and
    {"policy/config.json": {"bytes": 713, "sha256": ..., "time": ...}, ...} of its policy."""
    there = [directory / name for name in (*FILES, *RESULTS)]
    rows = {path.name: _digest(path.read_bytes()) for path in there if path.exists()}
    policy = sorted(path for path in (directory / POLICY).glob("*") if path.is_file())
    return rows | {f"{POLICY}/{path.name}": _file_digest(path) for path in policy}


def _digest(data: bytes) -> dict[str, Any]:
    return {"rows": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}


def _file_digest(path: Path) -> dict[str, Any]:
    """The file's time spares reading large weights again."""
    stat = path.stat()
    return {"bytes": stat.st_size, "sha256": file_digest(path), "time": stat.st_mtime_ns}


def is_policy_file(path: Path, then: Any) -> bool:
    """Whether a file of a policy is what it was: by size and time, else by its content."""
    if not path.is_file() or not isinstance(then, dict):
        return False
    stat = path.stat()
    same = (then.get("bytes"), then.get("time")) == (stat.st_size, stat.st_mtime_ns)
    return same or then.get("sha256") == file_digest(path)


def is_noted(directory: Path, name: str, data: bytes) -> bool:
    """True if a finished run's file was this when the run ended."""
    return noted(directory).get(name) == _digest(data)


def noted(directory: Path) -> Mapping[str, Any]:
    """`digests` as they were when the run ended; empty where it did not note them."""
    then = read_json(directory / "manifest.json").get("records")
    return then if isinstance(then, dict) else {}


def losses(directory: Path) -> dict[str, str]:
    """What a finished run's records and policy have lost since, by name: `metrics.jsonl has 0 of 61
    lines`.
    Nothing of a run of an older version, which did not note their digests."""
    sentences = {}
    for name, then in noted(directory).items():
        path = directory / name
        if name.startswith(f"{POLICY}/"):
            if not is_policy_file(path, then):
                sentences[name] = f"{name} is {'not what was written' if path.exists() else 'gone'}"
            continue
        now = _digest(path.read_bytes()) if path.is_file() else None
        if now is None:
            sentences[name] = f"{name} is gone"
        elif now != then:
            lines = then.get("rows") if isinstance(then, dict) else None
            short = lines is not None and lines != now["rows"]
            words = f"has {now['rows']} of {lines} lines" if short else "is not what was written"
            sentences[name] = f"{name} {words}"
    return sentences


def has_undone(directory: Path) -> bool:
    """True if a finished run has checkpoints yet that it did not wish to keep, as a kill while they
    were removed leaves them, or half-written files."""
    if strays(directory):
        return True
    kept = flatten(read_json(directory / "manifest.json").get("config") or {})
    wish, folder = kept.get("checkpoints.after_finish"), directory / "checkpoints"
    if wish == "last":
        return len([*folder.glob("iteration-*.sha256")]) > 1 or any(folder.glob("*.damaged*"))
    return wish == "none" and folder.exists()


def is_complete(directory: Path) -> bool:
    """True if the directory holds a run that ended by itself, with all that it recorded, and
    nothing is left to do in it."""
    return is_finished(directory) and not losses(directory) and not has_undone(directory)
