"""From an experiment's name or run ids to the directories of their runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.rundir.redact import redact_text, sentence
from rlhf.tracking.lookup import DIRECTORY_TAG, run_directory
from rlhf.tracking.store import absolute_uri, connect, database

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_ID = re.compile(r"[0-9a-f]{32}")


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
    found: dict[Path, None] = {}
    try:
        for word in wanted:
            places = (
                [run_directory(uri, word)] if RUN_ID.fullmatch(word) else _of_experiment(uri, word)
            )
            found |= dict.fromkeys(places)
    except LookupError:
        raise
    except Exception as error:  # of MLflow or any library below it
        raise LookupError(
            f"MLflow at {redact_text(uri)} does not answer ({sentence(error)})."
        ) from None
    return list(found)


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
