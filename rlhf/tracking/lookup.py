"""From run ids and experiments to the directories of runs. A run is looked up in a sqlite store
without importing MLflow."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rlhf.rundir.secrets.redact import redact_text, sentence
from rlhf.tracking.addresses import absolute_uri, database
from rlhf.tracking.database import column
from rlhf.tracking.store import connect

RUN_ID = re.compile(r"[0-9a-f]{32}")
DIRECTORY_TAG = "rlhf.directory"


def run_directory(uri: str, run_id: str) -> Path:
    """The directory of the run of this id, by its tags. A stage's folder has been renamed when it
    was published.

    Raises:
        LookupError: no such store, no such run, a run of another program, or a directory that is
            gone.
    """
    path, query = _store(uri), "select value from tags where run_uuid = ? and key = ?"
    places = (
        _directories_at(absolute_uri(uri), run_id)
        if path is None
        else _column(path, query, run_id, DIRECTORY_TAG)
    )
    if not places:
        raise LookupError(f"{run_id} is no run of rlhf in {redact_text(uri)}.")
    written = Path(places[0])
    published = written.with_name(written.name.removesuffix(".work"))
    for place in (published, written):
        if place.is_dir():
            return place
    raise LookupError(f"the run {run_id} was in {published}, which is no longer there.")


def run_ids(uri: str) -> list[str]:
    """Of a sqlite store the newest 1000; of any other none."""
    query = "select run_uuid from runs order by start_time desc limit 1000"
    try:
        path = _store(uri)
        return _column(path, query) if path else []
    except LookupError:
        return []


def _column(path: Path, query: str, *arguments: str) -> list[str]:
    try:
        return column(path, query, *arguments)
    except sqlite3.Error as error:
        raise LookupError(f"{path} is no MLflow store ({error}).") from None


def _store(uri: str) -> Path | None:
    """The file of a sqlite address, which is there; None for any other address."""
    path = database(uri)
    if path is not None and not path.is_file():
        raise LookupError(f"there is no MLflow store at {path}; --tracking-uri names another.")
    return path


def _directories_at(uri: str, run_id: str) -> list[str]:
    """The directory tag of a server's run, through MLflow's client; [] where there is none."""
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        tags = client.get_run(run_id).data.tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise LookupError(f"{redact_text(uri)} does not answer ({sentence(error)}).") from None
    return [value for key, value in tags.items() if key == DIRECTORY_TAG]


def directories(uri: str, wanted: Sequence[str]) -> list[Path]:
    """The directories of runs that trained a policy: each word is a run's id, or the name of an
    experiment for all of its runs.

    Raises:
        LookupError: no such store, experiment or run, nothing of it is left on this disk, an
            address that is none, or no answer.
    """
    try:
        absolute_uri(uri)
    except ValueError as error:
        raise LookupError(redact_text(str(error))) from None
    try:
        matches = [
            [run_directory(uri, word)] if RUN_ID.fullmatch(word) else _of_experiment(uri, word)
            for word in wanted
        ]
    except LookupError:
        raise
    except Exception as error:  # of MLflow or any library below it
        raise LookupError(
            f"MLflow at {redact_text(uri)} does not answer ({sentence(error)})."
        ) from None
    return list(dict.fromkeys(place for places in matches for place in places))


def _of_experiment(uri: str, name: str) -> list[Path]:
    _store(uri)
    client = connect(uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        others = ", ".join(sorted(e.name for e in client.search_experiments()))
        raise LookupError(f"{redact_text(uri)} has no experiment {name!r}; it has {others}.")
    search = partial(
        client.search_runs,
        [experiment.experiment_id],
        "tags.stage = 'ppo'",
        order_by=["attributes.start_time ASC"],
    )
    pages = [search()]
    while pages[-1].token:
        pages.append(search(page_token=pages[-1].token))
    places = [
        Path(run.data.tags[DIRECTORY_TAG])
        for page in pages
        for run in page
        if DIRECTORY_TAG in run.data.tags
    ]
    there = [place for place in places if place.is_dir()]
    if not there:
        raise LookupError(
            f"the experiment {name!r} has {len(places)} runs with a policy and a directory,"
            " and none of these is on this disk."
        )
    return there
