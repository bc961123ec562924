"""The sqlite file that MLflow keeps runs in: its state, made anew, brought up to date, or mended
after a kill. Made beside its place and moved there whole, so that no command meets half of one."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

State = Literal["none", "ready", "older", "half made"]
_FIRST = {"experiments", "runs", "tags", "metrics", "params"}  # MLflow's tables before migrations
MIGRATING = threading.Lock()  # alembic migrates one database of a process at a time
SETTLED = 5.0  # seconds without a write after which nobody is taken to be making a database
_MAKING = ".making-"
_LEFT = "_alembic_tmp_"  # how alembic names a table that it is about to put in another's place
_PLAIN = re.compile(r"[\w./ ~+,=@:-]*")  # of a path that reads the same as a part of an address


class StoreError(ValueError):
    """A store that no run can be written to, and what to do."""


@cache
def revisions() -> tuple[frozenset[str], str]:
    """The schemas that the installed MLflow knows, and the newest. Read from its files: to import
    it takes seconds."""
    spec = find_spec("mlflow")
    place = Path((spec and spec.origin) or "").parent / "store" / "db_migrations" / "versions"
    texts = [file.read_text(encoding="utf-8") for file in place.glob("*.py")]
    own, before = (
        {name for text in texts for name in re.findall(rf'^{key} = "(\w+)"', text, re.MULTILINE)}
        for key in ("revision", "down_revision")
    )
    return frozenset(own), next(iter(own - before), "")


def engine_uri(path: Path) -> str:
    """The file as an address for MLflow. SQLAlchemy reads `?` and `%` in one as marks, and MLflow
    makes the folder of a `sqlite:///` address as if they were none."""
    if _PLAIN.fullmatch(str(path)):
        return f"sqlite:///{path}"
    from sqlalchemy import make_url

    if make_url("sqlite:///%41").database == "A":  # from 2.1 on
        return f"sqlite+pysqlite:///{quote(str(path))}"
    return f"sqlite+pysqlite:///file:{quote(str(path))}?uri=true"


def column(path: Path, query: str, *arguments: str) -> list[str]:
    """The first column of what a query finds in the file, which is only read."""
    # sqlite lets nobody read until a write that a kill cut is taken back, which takes writing
    mode = "rw" if path.with_name(f"{path.name}-journal").exists() else "ro"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True)) as db:
        return [str(row[0]) for row in db.execute(query, arguments)]


def schema(path: Path) -> str | None:
    """The revision of the file's schema; None where it has none yet."""
    if "alembic_version" not in _tables(path):
        return None
    return next(iter(column(path, "select version_num from alembic_version")), None)


def _tables(path: Path) -> set[str]:
    return set(column(path, "select name from sqlite_master where type = 'table'"))


def examine(path: Path) -> State:
    """`ready` for the installed MLflow; `older`, of an earlier one, with rows; `half made`, without
    a run: a kill left it; `none`, no file or an empty one. Only reads.

    Raises:
        StoreError: it is no database, another program's, or a newer MLflow's.
        OperationalError: sqlite cannot read it now.
    """
    other = "name another file with tracking.uri=sqlite:///..."
    if path.is_dir():
        raise StoreError(f"{path} is a directory; {other}")
    if not path.exists() or not path.stat().st_size:
        return "none"
    try:
        tables, revision = _tables(path), schema(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise StoreError(f"{path} is no sqlite database ({error}); {other}") from None
    left = {name for name in tables if name.startswith(_LEFT)}
    known, newest = revisions()
    if revision is None:
        if foreign := sorted(tables - left - _FIRST - {"alembic_version"}):
            names = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
            raise StoreError(f"{path} is another program's database (tables: {names}); {other}")
    elif revision not in known:
        raise StoreError(
            f"{path} has schema {revision}, which MLflow {version('mlflow')} does not know: a newer"
            f" MLflow or another program made it; install that MLflow, or {other}"
        )
    if not tables:
        return "none"
    if revision == newest and not left:
        return "ready"
    rows = _rows(path) | {"alembic_version": 0, "workspaces": 0}
    only_default = rows.pop("experiments", 0) <= 1  # that one MLflow makes by itself
    return "half made" if only_default and not any(rows.values()) else "older"


def _rows(path: Path) -> dict[str, int]:
    """The rows of each table. One that alembic was about to replace counts under the name that it
    will have."""
    rows: dict[str, int] = {}
    for table in _tables(path):
        name = table.removeprefix(_LEFT)
        count = int(column(path, f'select count(*) from "{table}"')[0])
        rows[name] = max(count, rows.get(name, 0))
    return rows


def make_ready(path: Path) -> None:
    """Makes the file, or brings it up to date. Call under its lock. Raises StoreError where that
    cannot be done; the file is then as it was."""
    _clear(path)
    if path.is_file() and path.with_name(f"{path.name}-journal").exists():
        with closing(sqlite3.connect(path)) as db:  # takes back what a killed writer left
            db.execute("select count(*) from sqlite_master").fetchall()
    state, deadline = examine(path), time.monotonic() + 12 * SETTLED
    while state in ("half made", "older") and abs(time.time() - path.stat().st_mtime) < SETTLED:
        if time.monotonic() > deadline:
            raise StoreError(f"another program writes to {path}, which has an older schema: end it")
        time.sleep(0.5)  # one that knows no lock of ours may be making it
        state = examine(path)
    if state in ("none", "half made"):
        with MIGRATING, _beside(path) as work:
            _open(work)
            if state == "half made":
                os.replace(path, _free(path, "half-made"))
            for end in ("-journal", "-wal", "-shm"):  # of the file that is gone
                path.with_name(path.name + end).unlink(missing_ok=True)
            os.replace(work, path)
    elif state == "older":
        _update(path)


def _update(path: Path) -> None:
    """An older schema, or one that a kill left between two: brought up to date in a copy, which
    then takes the place of the file's content in one transaction. A copy of before stays beside."""
    revision, rows = schema(path), _rows(path)
    backups = [file for file in _beside_it(path, ".") if file.suffix == ".bak"]
    newest_first = sorted(backups, key=lambda file: -file.stat().st_mtime)
    with MIGRATING, _beside(path) as work:
        if not any(_migrated(source, work, rows) for source in (path, *newest_first)):
            raise StoreError(
                f"{path} was left between two schemas (at {revision}), and no copy of before with"
                f" all its rows is beside it ({path.name}.*.bak): put one in its place, or name"
                " another file with tracking.uri=sqlite:///..."
            )
        if _rows(path) != rows:
            raise StoreError(f"another program writes to {path}, which has an older schema: end it")
        _copy(path, _free(path, str(revision)))
        _copy(work, path)


def _migrated(source: Path, work: Path, rows: dict[str, int]) -> bool:
    """Whether a copy of the source could be brought up to date and has at least these rows."""
    try:
        work.unlink(missing_ok=True)
        _copy(source, work)
        if _less(_rows(work), rows):
            return False
        _migrate(work)
        return examine(work) == "ready" and not _less(_rows(work), rows)
    except (StoreError, sqlite3.Error, subprocess.CalledProcessError):
        return False


def _less(rows: dict[str, int], than: dict[str, int]) -> bool:
    """Of the tables that runs are in: a migration may empty others."""
    return any(rows.get(name, 0) < than.get(name, 0) for name in _FIRST)


def _migrate(path: Path) -> None:
    """Through every schema up to the installed MLflow's."""
    tables = _tables(path)
    with closing(sqlite3.connect(path)) as db:
        for name in (table for table in tables if table.startswith(_LEFT)):
            # what it was to replace is still there, or it is all that is left of that
            if (whole := name.removeprefix(_LEFT)) in tables:
                db.execute(f'drop table "{name}"')
            else:
                db.execute(f'alter table "{name}" rename to "{whole}"')
        db.commit()
    if schema(path) != revisions()[1]:
        upgrade = [sys.executable, "-m", "mlflow", "db", "upgrade", engine_uri(path)]
        subprocess.run(upgrade, check=True, capture_output=True)
    _open(path)


def _open(path: Path) -> None:
    """MLflow makes what is missing in a database that it opens."""
    from mlflow.store.tracking import sqlalchemy_store

    store: Any = sqlalchemy_store.SqlAlchemyStore
    store(engine_uri(path), (path.parent / "mlartifacts").as_uri()).engine.dispose()


def _copy(source: Path, target: Path) -> None:
    """The content of a database in another's place, in one transaction: all or nothing, whoever
    has it open."""
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name beside the file, new each time: MLflow remembers databases by their names."""
    try:
        yield path.with_name(f"{path.name}{_MAKING}{uuid.uuid4().hex[:8]}")
    finally:
        _clear(path)


def _beside_it(path: Path, mark: str) -> list[Path]:
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    return [file for file in there if file.name.startswith(path.name + mark)]


def _clear(path: Path) -> None:
    for file in _beside_it(path, _MAKING):
        file.unlink(missing_ok=True)


def _free(path: Path, mark: str) -> Path:
    """A name for a copy beside the file that nothing has yet."""
    names = (f"{path.name}.{mark}{end}.bak" for end in ("", *(f".{i}" for i in range(2, 1000))))
    return next(file for name in names if not (file := path.with_name(name)).exists())
