"""tracking.json in a run's directory: what MLflow shall have of the run, as MLflow takes it, and
how much has arrived. Other services have such a file of their own beside it.

Each has a copy, `.tracking.json`, as it was when the run began to be delivered and when it ended:
one that is damaged is written again from the other.
"""

from __future__ import annotations

import json
import logging
import math
import re
import socket
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlhf.rundir.disk.aside import copy_aside
from rlhf.rundir.disk.sealed import is_damaged, read_sealed, write_sealed
from rlhf.rundir.files import write_bytes
from rlhf.rundir.paths.points import path_of
from rlhf.rundir.read import collecting, number
from rlhf.rundir.secrets.redact import redact_text, redact_value
from rlhf.tracking.addresses import database, written_uri
from rlhf.tracking.base import Dataset
from rlhf.tracking.database import column

log = logging.getLogger("rlhf.tracking")
STATE = "tracking.json"
LONGEST_TAG = 5000
LONGEST = 500  # characters; what every MLflow server takes. config.yaml holds the whole value


def read_state(directory: Path, file: str = STATE) -> dict[str, Any]:
    """The state, of a damaged file that of its copy; {} where the file is not there."""
    path = directory / file
    return read_sealed(_copy_of(path) if _is_lost(path) else path)


def write_state(
    directory: Path, state: Mapping[str, Any], file: str = STATE, *, copy: bool = True
) -> None:
    """`copy`: False where only what has arrived has changed, which the service knows, too."""
    write_sealed(directory / file, state)
    if copy:
        write_sealed(_copy_of(directory / file), state)


def _copy_of(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def _is_lost(path: Path) -> bool:
    """Whether a state is damaged, and its copy is not."""
    copy = _copy_of(path)
    return path.is_file() and copy.is_file() and _is_damaged(path) and not _is_damaged(copy)


def _is_damaged(path: Path) -> bool:
    with collecting():  # the other is there: it is not to be named as missing
        return is_damaged(path)


def mend(directory: Path, file: str = STATE) -> dict[str, Any]:
    """The directory's own state, as `read_own` has it. Where it is damaged it is written again from
    its copy, and named; or a damaged copy from the state."""
    path, state = directory / file, read_own(directory, file)
    copy = _copy_of(path)
    if not (state and copy.is_file()):
        return state
    try:
        if _is_lost(path):
            aside = copy_aside(path)
            write_bytes(path, copy.read_bytes())
            log.warning(
                "%s was damaged: it is written again from its copy, and set aside as %s",
                *(path, aside.name),
            )
        elif _is_damaged(copy):
            write_bytes(copy, path.read_bytes())
    except OSError as error:
        log.warning("%s is damaged, and cannot be written again: %s", path, error)
    return state


def home(directory: Path) -> dict[str, Any]:
    """Where a directory is, for `is_own` to recognise it by."""
    path = directory.resolve()
    return {"path": str(path), "inode": path.stat().st_ino, "host": socket.gethostname()}


def is_own(directory: Path, state: Mapping[str, Any]) -> bool:
    """Whether what MLflow has by this state is this directory's: the state was written here, or in
    a directory that has been moved here, so that nothing is left in its place.

    Not of a copy, nor of a directory that came from another computer.
    """
    before = original(state)
    if before is None:
        return False
    try:
        here = home(directory)
    except OSError:  # it is not there, or goes at this moment
        return False
    same = any(here[key] == state["home"].get(key) for key in ("inode", "host"))
    return here["path"] == str(before) or (same and not before.exists())


def read_own(directory: Path, file: str = STATE) -> dict[str, Any]:
    """The directory's state; {} where there is none or it is another directory's."""
    state = read_state(directory, file)
    return state if is_own(directory, state) else {}


def original(state: Mapping[str, Any]) -> Path | None:
    """Where the state was written, as far as it says so."""
    before = state.get("home")
    place = before.get("path") if isinstance(before, Mapping) else None
    return Path(place) if isinstance(place, str) else None


def lost(state: Mapping[str, Any]) -> bool:
    """Whether a sqlite file that took the whole run has it no longer: emptied, or replaced."""
    path, run_id = database(state["uri"]), state.get("run_id")
    if path is None or not path.is_file() or not run_id:
        return False
    try:
        return not column(path, "select 1 from runs where run_uuid = ?", run_id)
    except sqlite3.Error as error:
        return "no such table" in str(error)


def adopt(directory: Path) -> None:
    """Makes what MLflow has by the directory's state its own, if the directory in which the state
    was written is not there."""
    state = read_state(directory)
    before = original(state)
    if state and not (before and before.exists()):
        write_state(directory, {**state, "home": home(directory)})


def open_state(
    directory: Path,
    *,
    uri: str,
    experiment: str,
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    datasets: Sequence[Dataset] = (),
    nested: bool = False,
) -> dict[str, Any]:
    """The directory's state with what this start says of the run; a new one if the directory was
    tracked elsewhere, or never, or is a copy of one that was.

    `nested`: below the summary run of its sweep, if the directory is a job of one; a path's point
    below the path's run.
    """
    old, uri = mend(directory), written_uri(uri)
    state: dict[str, Any] = (
        old
        if (old.get("uri"), old.get("experiment")) == (uri, experiment)
        else {
            "key": uuid.uuid4().hex,
            "run_id": None,
            "experiment_id": None,
            "delivered": -1,
            "starts": 0,
            # then only MLflow knows whether it has this run, by the directory
            "damaged": (directory / STATE).is_file() and not read_state(directory),
        }
    )
    state.update(
        home=home(directory),
        uri=uri,
        experiment=experiment,
        name=name,
        closed=None,
        ended=None,
        begun=state.get("begun") or now(),
        params=written(params),
        tags={key_of(k): redact_text(str(v))[:LONGEST_TAG] for k, v in tags.items()},
        datasets=[
            {**asdict(data), "source": json.dumps(redact_value("", data.source))}
            for data in datasets
        ],
        nested=nested and (path_of(directory) is not None or _is_job(directory, tags)),
        starts=state["starts"] + 1,
    )
    write_state(directory, state)
    return state


def _is_job(directory: Path, tags: Mapping[str, str]) -> bool:
    return "sweep" in tags and (directory.parent / "sweep.json").is_file()


def written(params: Mapping[str, Any]) -> dict[str, str]:
    """The params as they are sent: names and values that MLflow takes, without secrets."""
    return {key_of(key): _text(redact_value(key, value)) for key, value in params.items()}


def key_of(name: str) -> str:
    """A name that MLflow takes: letters, digits and `_ - . / space`; no empty, `.` or `..` part."""
    parts = re.sub(r"[^\w\-./ ]", "_", name).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))[:250] or "_"


def _text(value: Any) -> str:
    """The value as YAML writes it, no longer than a server takes."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the values without the infinite ones: MLflow keeps nan, but stores inf as
    1.8e308."""
    numbers = {key: number(value) for key, value in values.items()}
    return {key: x for key, x in numbers.items() if x is not None and not math.isinf(x)}


def now() -> int:
    """The time as MLflow counts it, in ms."""
    return round(time.time() * 1000)
