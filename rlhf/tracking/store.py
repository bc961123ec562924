"""The store of runs: its address, its database, its experiments. One preparation, then many
writers."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from filelock import FileLock

from rlhf.rundir.environment import VARIABLE
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_json
from rlhf.rundir.redact import HIDDEN, looked_up, redact_text

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Client: TypeAlias = "MlflowClient"  # by name: MLflow takes seconds to import
StoredRun: TypeAlias = "Run"
DEFAULT = "sqlite:///outputs/mlflow.db"  # what conf/tracking/mlflow.yaml comes to
_SQLITE = "sqlite:///"
_SCHEMES = re.compile(r"^(sqlite|postgresql|mysql|mssql)(\+\w+)?://|^https?://|^databricks(://|$)")
_ENVIRONMENT = {
    # the default of 7 holds one call to a closed port for four minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",  # seconds
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def default_uri() -> str:
    """The store in which a command looks for runs if it is given none."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT


_passwords: dict[str, str] = {}  # of this process: addresses as they are written down -> in full


def written_uri(uri: str) -> str:
    """The address for files, messages and links: without its password."""
    written = redact_text(uri)
    if written != uri:
        _passwords[written] = uri
    return written


def whole_uri(uri: str) -> str:
    """The address to connect with, password and variables of the environment in it.

    Raises:
        ValueError: the password was not written down, and this process was not given it.
    """
    uri = looked_up(uri)
    if f"://{HIDDEN}@" not in uri and f"={HIDDEN}" not in uri:
        return uri
    if uri == redact_text(default_uri()):
        return default_uri()
    if uri not in _passwords:
        raise ValueError(
            f"the password of {uri} is not written down: give the whole address in"
            " MLFLOW_TRACKING_URI, or as tracking.uri='https://me:${oc.env:PASSWORD}@...'"
        )
    return _passwords[uri]


def absolute_uri(uri: str) -> str:
    """The address with a relative database path made absolute. One that names a variable of the
    environment stays as it is.

    Raises:
        ValueError: what MLflow cannot store runs in (a folder, a memory database), with what to
            write instead.
    """
    if VARIABLE.search(uri):
        whole = absolute_uri(looked_up(uri))
        return whole if whole.startswith(_SQLITE) else uri
    written_uri(uri)
    if not _SCHEMES.search(uri):
        path = re.sub(r"^file:(//)?", "", uri)
        raise ValueError(
            f"tracking.uri={uri}: MLflow keeps runs in a database or a server; write"
            f" sqlite:///{path.rstrip('/')}/mlflow.db"
        )
    if not uri.startswith(_SQLITE):
        return uri
    path, mark, query = uri[len(_SQLITE) :].partition("?")
    if path in ("", ":memory:"):
        raise ValueError(
            f"tracking.uri={uri}: a database in memory is lost at the end; name a file, such as"
            " sqlite:///outputs/mlflow.db"
        )
    return f"{_SQLITE}{Path(path).expanduser().absolute()}{mark}{query}"


def database(uri: str) -> Path | None:
    """The file of a sqlite address, None for any other."""
    uri = absolute_uri(uri)
    return Path(uri[len(_SQLITE) :].partition("?")[0]) if uri.startswith(_SQLITE) else None


def quiet() -> None:
    """Bounds MLflow's waiting and its talk, where the user has not chosen otherwise. To be
    called before MLflow is imported."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    for name in ("alembic", "urllib3.connectionpool"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)


def connect(uri: str) -> Client:
    """A client of this address. Imports MLflow (seconds), touches no global state of it but the
    limits on waiting."""
    quiet()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=whole_uri(absolute_uri(uri)))


def prepare_store(uri: str, experiment: str) -> str:
    """Make sure that database and experiment are there, and return the experiment's id.

    A new sqlite database must have one maker: six processes that open a missing one at the same
    time break it. So this works under a file lock. A store that is ready is recognised without
    importing MLflow.
    """
    uri = absolute_uri(uri)
    path = database(uri)
    if path is None:
        return _experiment(connect(uri), experiment, None)
    if known := _known(path, experiment):
        return known
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if known := _known(path, experiment):
            return known
        slug = re.sub(r"[^\w.-]+", "_", experiment).strip("._") or "experiment"
        artifacts = (path.parent / "mlartifacts" / slug).as_uri()
        experiment_id = _experiment(_migrated(uri, path), experiment, artifacts)
        write_json(_mark(path), {"mlflow": version("mlflow"), "schema": _schema(path)})
        return experiment_id


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.ready.json")


def column(path: Path, query: str, *arguments: str) -> list[str]:
    """The first column of what a query finds in a sqlite store."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return [str(row[0]) for row in db.execute(query, arguments)]


def _schema(path: Path) -> str | None:
    return next(iter(column(path, "select version_num from alembic_version")), None)


def _known(path: Path, experiment: str) -> str | None:
    """The experiment's id if the installed MLflow has prepared this file and nothing changed
    since."""
    mark = read_json(_mark(path))
    if not path.exists() or mark.get("mlflow") != version("mlflow"):
        return None
    try:
        if _schema(path) != mark.get("schema"):
            return None
        query = "select experiment_id from experiments where name = ? and lifecycle_stage = ?"
        return next(iter(column(path, query, experiment, "active")), None)
    except sqlite3.Error:
        return None


def _migrated(uri: str, path: Path) -> Client:
    """A client of a database of the installed MLflow's schema. One of an older schema is copied
    aside and brought up to date."""
    before = _schema(path) if path.exists() and path.stat().st_size else None
    copy = path.with_name(f"{path.name}.{before}.bak")
    foreign = before is not None and read_json(_mark(path)) != {
        "mlflow": version("mlflow"),
        "schema": before,
    }
    if foreign:
        shutil.copy2(path, copy)
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        # opens the database, and makes or migrates it in most cases
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if "out-of-date database schema" not in str(error):
            raise
        subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", uri], check=True, capture_output=True
        )
        client = connect(uri)
    if foreign and _schema(path) == before:
        copy.unlink()
    return client


def _experiment(client: Client, name: str, artifact_location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except MlflowException:  # somebody else was quicker
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":  # the name stays taken
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)
