"""The store of runs: its database, its experiments. One preparation, then many writers."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from filelock import FileLock

from rlhf.imports import uncollected
from rlhf.rundir.disk.aside import clear_strays
from rlhf.rundir.disk.space import refused
from rlhf.rundir.secrets.redact import redact_text
from rlhf.tracking.addresses import absolute_uri, database, mlflow_uri
from rlhf.tracking.database import MIGRATING, StoreError, column, examine, make_ready

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Client: TypeAlias = "MlflowClient"  # by name: MLflow takes seconds to import
StoredRun: TypeAlias = "Run"
_SERVERS = re.compile(r"^(postgresql|mysql|mssql)(\+\w+)?://")  # of databases
LONGEST_NAME = 500  # characters that MLflow takes for an experiment's name
_ENVIRONMENT = {
    # the default of 7 holds one call to a closed port for four minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",  # seconds
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def quiet() -> None:
    """Bounds MLflow's waiting and its talk, where the user has not chosen otherwise. To be
    called before MLflow is imported."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    # what the last one has to say of an error, with its traceback, is raised too
    talk = {"alembic": 40, "urllib3.connectionpool": 40, "mlflow.store.db.utils": 50}
    for name, level in talk.items():
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)


def connect(uri: str) -> Client:
    """A client of this address. Imports MLflow (seconds), touches no global state of it but the
    limits on waiting."""
    quiet()
    with uncollected():
        from mlflow import MlflowClient

    address = mlflow_uri(uri)
    # which MLflow makes the tables of at first; a sqlite file has them from `prepare_store`, and
    # its client what is left to be imported
    with MIGRATING if _SERVERS.match(address) else uncollected():
        return MlflowClient(tracking_uri=address)


def one_at_a_time(uri: str) -> AbstractContextManager[object]:
    """Around what is read from a sqlite store, and written back changed. MLflow's servers have
    nothing of the kind.

    Raises:
        Timeout: another process does not come to an end.
    """
    path = database(uri)
    return nullcontext() if path is None else FileLock(f"{path}.lock", timeout=30)


def refusal(uri: str, experiment: str) -> str | None:
    """Why runs cannot be written to this store, and what to do; None where nothing is known against
    it. Imports no MLflow, alters nothing, asks no server."""
    path = database(uri)
    if path is None:
        return None
    if reason := refused(path.parent):
        return f"{path}: {reason}"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"{path}: this user may not write to it"
    query = "select experiment_id from experiments where name = ? and lifecycle_stage = 'deleted'"
    try:
        if examine(path) != "none" and (deleted := column(path, query, experiment)):
            return _trash(uri, experiment, deleted[0])
    except StoreError as error:
        return str(error)
    except sqlite3.OperationalError:  # somebody writes to it at this moment
        return None
    return None


def _trash(uri: str, experiment: str, experiment_id: str) -> str:
    return (
        f"the experiment {experiment!r} is in MLflow's trash; bring it back (MLFLOW_TRACKING_URI="
        f"{shlex.quote(redact_text(mlflow_uri(uri)))} mlflow experiments restore -x"
        f" {experiment_id}), or take another name with study=... or tracking.experiment=..."
    )


def prepare_store(uri: str, experiment: str) -> str:
    """Make sure that database and experiment are there, and return the experiment's id.

    A new sqlite database must have one maker: six processes that open a missing one at the same
    time break it. So this works under a file lock. A store that is ready is recognised without
    importing MLflow.

    Raises:
        StoreError: nothing can be written there; it is left as it is.
    """
    uri = absolute_uri(uri)
    path = database(uri)
    if path is None:
        return _experiment(uri, experiment, None)
    if reason := refusal(uri, experiment):
        raise StoreError(reason)
    if known := _known(path, experiment):
        return known
    with making(path):
        slug = re.sub(r"[^\w.-]+", "_", experiment).strip("._")[:100] or "experiment"
        artifacts = (path.parent / "mlartifacts" / slug).as_uri()
        return _known(path, experiment) or _experiment(uri, experiment, artifacts)


@contextmanager
def making(path: Path) -> Iterator[None]:
    """Around what one process at a time does to a sqlite store, which is made or mended first. What
    a killed process left half-written beside it is cleared."""
    quiet()
    with uncollected():  # before the lock: whoever holds that does nothing but write
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", poll_interval=0.2):
        strays = (path.parent / "mlartifacts").rglob(".*.tmp")
        for folder in {path.parent, *(stray.parent for stray in strays)}:
            clear_strays(folder)
        make_ready(path)
        yield


def _known(path: Path, experiment: str) -> str | None:
    """The experiment's id if the installed MLflow can use the file as it is."""
    query = "select experiment_id from experiments where name = ? and lifecycle_stage = 'active'"
    try:
        known = column(path, query, experiment) if examine(path) == "ready" else []
    except sqlite3.OperationalError:
        return None
    return next(iter(known), None)


def _experiment(uri: str, name: str, artifact_location: str | None) -> str:
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except MlflowException:  # somebody else was quicker
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":  # its user's choice, and the name stays taken
        raise StoreError(_trash(uri, name, experiment.experiment_id))
    return str(experiment.experiment_id)
