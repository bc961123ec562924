"""The address of a store of runs: as it is written down, as it is connected to, and the file that a
sqlite address means."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rlhf.rundir.secrets.environment import VARIABLE
from rlhf.rundir.secrets.redact import HIDDEN, looked_up, redact_text
from rlhf.tracking.database import engine_uri

DEFAULT = "sqlite:///outputs/mlflow.db"  # what conf/tracking/mlflow.yaml comes to
_SQLITE = "sqlite:///"
_SCHEMES = re.compile(r"^(sqlite|postgresql|mysql|mssql)(\+\w+)?://|^https?://|^databricks(://|$)")
_QUERY = re.compile(r"\?[\w.]+=[^/?&]*(&[\w.]+=[^/?&]*)*$")


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
    environment stays as it is. The path stands in it as it is: `%20` is three letters of a name,
    and a `?` begins settings only before `key=value`.

    Raises:
        ValueError: what MLflow cannot store runs in (a folder, a memory database), with what to
            write instead.
    """
    if VARIABLE.search(uri):
        whole = absolute_uri(looked_up(uri))
        return whole if whole.startswith(_SQLITE) else uri
    written_uri(uri)
    if not _SCHEMES.search(uri):
        path = re.sub(r"^file:(//)?", "", uri).rstrip("/")
        file = path if path.endswith((".db", ".sqlite", ".sqlite3")) else f"{path}/mlflow.db"
        raise ValueError(
            f"tracking.uri={uri}: MLflow keeps runs in a database or a server; write"
            f" sqlite:///{file}"
        )
    if not uri.startswith(_SQLITE):
        return uri
    query = _QUERY.search(uri)
    path = _QUERY.sub("", uri[len(_SQLITE) :])
    if path in ("", ":memory:"):
        raise ValueError(
            f"tracking.uri={uri}: a database in memory is lost at the end; name a file, such as"
            " sqlite:///outputs/mlflow.db"
        )
    return f"{_SQLITE}{Path(path).expanduser().absolute()}{query[0] if query else ''}"


def database(uri: str) -> Path | None:
    """The file of a sqlite address, None for any other."""
    uri = absolute_uri(uri)
    return Path(_QUERY.sub("", uri[len(_SQLITE) :])) if uri.startswith(_SQLITE) else None


def mlflow_uri(uri: str) -> str:
    """The address as MLflow and SQLAlchemy read it, its password in it.

    Raises:
        ValueError: as `whole_uri`.
    """
    uri, path = absolute_uri(uri), database(uri)
    if path is None:
        return whole_uri(uri)
    query = _QUERY.search(uri)
    address = engine_uri(path)
    settings = query[0] if query else ""
    return address + ("&" + settings[1:] if settings and "?" in address else settings)
