"""From run ids and experiments to the directories of runs. A run is looked up in a sqlite store
without importing MLflow."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.rundir.redact import redact_text, sentence
from rlhf.tracking.store import absolute_uri, column, connect, database

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_ID = re.compile(r"[0-9a-f]{32}")
DIRECTORY_TAG = "rlhf.directory"


def run_directory(uri: str, run_id: str) -> Path:
    """The directory of the run of this id, by its tags. A stage's folder has been renamed when it
    was published.

    Raises:
        LookupError: no such store, no such run, a run of another program, or a directory that is
            gone.
    """
    path = database(uri)
    tag = _tag_in(path, run_id) if path is not None else _tag_at(absolute_uri(uri), run_id)
    if tag is None:
        raise LookupError(f"{run_id} is no run of rlhf in {redact_text(uri)}.")
    written = Path(tag)
    published = written.with_name(written.name.removesuffix(".work"))
    for place in (published, written):
        if place.is_dir():
            return place
    raise LookupError(f"the run {run_id} was in {published}, which is no longer there.")


def run_ids(uri: str) -> list[str]:
    """Of a sqlite store the newest 1000; of any other none."""
    path, query = database(uri), "select run_uuid from runs order by start_time desc limit 1000"
    try:
        return [] if path is None else _column(path, query)
    except LookupError:
        return []


def _column(path: Path, query: str, *arguments: str) -> list[str]:
    """
    Raises:
        LookupError: it is no store of MLflow.
    """
    if not path.is_file():
        raise LookupError(f"there is no MLflow store at {path}; --tracking-uri names another.")
    try:
        return column(path, query, *arguments)
    except sqlite3.Error as error:
        raise LookupError(f"{path} is no MLflow store ({error}).") from None


def _tag_in(path: Path, run_id: str) -> str | None:
    query = "select value from tags where run_uuid = ? and key = ?"
    return next(iter(_column(path, query, run_id, DIRECTORY_TAG)), None)


def _tag_at(uri: str, run_id: str) -> str | None:
    """Of a server: through MLflow's client."""
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        tags = client.get_run(run_id).data.tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise LookupError(
            f"{redact_text(uri)} does not answer ({redact_text(str(error).splitlines()[0])[:200]})."
        ) from None
    return str(tags[DIRECTORY_TAG]) if DIRECTORY_TAG in tags else None


def directories(uri: str, wanted: Sequence[str]) -> list[Path]:
    """The directories of PPO runs: each word is a run's id, or the name of an experiment for all of
    its runs.

    Raises:
        LookupError: no such store, experiment or run, nothing of it is left on this disk, an
            address that is none, or no answer.
    """
    try:
        absolute_uri(uri)
    except ValueError as error:
        raise LookupError(redact_text(str(error))) from None
    places: dict[Path, None] = {}
    try:
        for word in wanted:
            matches = (
                [run_directory(uri, word)] if RUN_ID.fullmatch(word) else _of_experiment(uri, word)
            )
            places |= dict.fromkeys(matches)
    except LookupError:
        raise
    except Exception as error:  # of MLflow or any library below it
        raise LookupError(
            f"MLflow at {redact_text(uri)} does not answer ({sentence(error)})."
        ) from None
    return list(places)


def _of_experiment(uri: str, name: str) -> list[Path]:
    path = database(uri)
    if path is not None and not path.is_file():
        raise LookupError(f"there is no MLflow store at {path}; --tracking-uri names another.")
    client = connect(uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        others = ", ".join(sorted(e.name for e in client.search_experiments()))
        raise LookupError(f"{redact_text(uri)} has no experiment {name!r}; it has {others}.")
    tags = [run.data.tags for run in _runs(client, experiment.experiment_id)]
    places = [Path(tag[DIRECTORY_TAG]) for tag in tags if DIRECTORY_TAG in tag]
    there = [place for place in places if place.is_dir()]
    if not there:
        raise LookupError(
            f"the experiment {name!r} has {len(places)} PPO runs with a directory, and none of"
            " these is on this disk."
        )
    return there


def _runs(client: MlflowClient, experiment_id: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            "tags.stage = 'ppo'",
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return
