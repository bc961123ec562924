import hashlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from rlhf.tracking.addresses import database
from rlhf.tracking.database import (
    MIGRATING,
    StoreError,
    column,
    engine_uri,
    examine,
    make_ready,
    revisions,
    schema,
)
from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.state import read_state
from rlhf.tracking.store import connect, prepare_store, quiet, refusal

RUNS = 7


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def settled(path: Path) -> Path:
    """As a kill some time ago would have left it."""
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


def killed(source: Path, place: Path, at, go) -> list[Path]:
    """Copies of a database, each as a kill would leave it at a statement that `at` picks while
    `go` runs. A delivery that an earlier test has given up may still be making another."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    copies: list[Path] = []
    seen = [0]

    def look(connection, cursor, statement, *_):
        if connection.engine.url.database != str(source):
            return
        seen[0] += 1
        if at(seen[0], statement):
            folder = place / f"{seen[0]:04d}"
            folder.mkdir(parents=True)
            for file in source.parent.glob(f"{source.name}*"):
                shutil.copyfile(file, folder / file.name)
            copies.append(settled(folder / source.name))

    event.listen(Engine, "after_cursor_execute", look)
    try:
        with MIGRATING:
            go()
    finally:
        event.remove(Engine, "after_cursor_execute", look)
    return copies


@pytest.fixture(scope="module")
def half_made(tmp_path_factory) -> list[Path]:
    """A new database at each moment at which a table is made, replaced or dropped for another."""
    quiet()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    place = tmp_path_factory.mktemp("half")
    path = place / "mlflow.db"
    return killed(
        path,
        place,
        lambda n, text: n == 1 or "CREATE TABLE" in text or "_alembic_tmp_" in text,
        lambda: SqlAlchemyStore(f"sqlite:///{path}", str(place)).engine.dispose(),
    )


@pytest.mark.slow
def test_another_that_is_made_meanwhile_waits(tmp_path):
    """alembic keeps the migration that it is at for the whole process: two at once break each
    other."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    makers: list[Thread] = []
    ended: list[Exception | None] = []

    def make(path):
        try:
            make_ready(path)
            ended.append(None)
        except Exception as error:
            ended.append(error)

    def at(n, text):
        if n == 60:  # in the middle of the first
            makers.append(Thread(target=make, args=(tmp_path / "other" / "mlflow.db",)))
            makers[0].start()
        return False

    (tmp_path / "other").mkdir()
    path = tmp_path / "mlflow.db"
    killed(path, tmp_path, at, lambda: SqlAlchemyStore(f"sqlite:///{path}", str(tmp_path)))
    makers[0].join()
    assert ended == [None]
    assert [examine(tmp_path / name) for name in ("mlflow.db", "other/mlflow.db")] == ["ready"] * 2


def test_a_database_server_is_opened_while_no_other_is_made():
    """MLflow makes the tables of an empty one when it first opens it."""
    opened: list[Exception] = []

    def open_it():
        try:
            connect("mssql+nodriver://nobody@127.0.0.1:1/runs")
        except Exception as error:
            opened.append(error)

    with MIGRATING:
        thread = Thread(target=open_it)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and not opened
    thread.join()
    assert "nodriver" in str(opened[0])


def older(path: Path, *, before: int) -> str:
    """A database with runs whose schema is that many before the newest. Returns its revision."""
    quiet()
    import sqlalchemy
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(str(engine.url))
    chain = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    with MIGRATING, engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, chain[before])
    engine.dispose()
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "insert into experiments (experiment_id, name, artifact_location, lifecycle_stage)"
            " values (1, 'unit', '/nowhere', 'active')"
        )
        for run in range(RUNS):
            db.execute(
                "insert into runs (run_uuid, name, experiment_id, status, lifecycle_stage,"
                " start_time, source_type, user_id)"
                " values (?, 'r', 1, 'FINISHED', 'active', 1, 'LOCAL', 'me')",
                (f"{run:032d}",),
            )
            for step in range(3):
                db.execute(
                    "insert into metrics (key, value, timestamp, run_uuid, step)"
                    " values ('loss', 0.5, ?, ?, ?)",
                    (step, f"{run:032d}", step),
                )
        db.commit()
    return chain[before]


@pytest.fixture(scope="module")
def cut_upgrades(tmp_path_factory) -> list[Path]:
    """A database with runs, at each moment of an upgrade at which a table is replaced."""
    import sqlalchemy
    from mlflow.store.db.utils import _upgrade_db

    place = tmp_path_factory.mktemp("cut")
    path = place / "mlflow.db"
    older(path, before=60)
    shutil.copyfile(path, place / "before")
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    copies = killed(
        path, place, lambda _, text: "_alembic_tmp_" in text, lambda: _upgrade_db(engine)
    )
    engine.dispose()
    return copies


def rows(path: Path) -> tuple[int, ...]:
    return tuple(
        int(column(path, f"select count(*) from {name}")[0]) for name in ("runs", "metrics")
    )


def test_the_newest_schema_is_read_without_mlflow(store):
    known, newest = revisions()
    assert schema(database(store)) == newest
    assert newest in known and "451aebb31d03" in known  # MLflow's first


def mended(path: Path) -> None:
    uri = f"sqlite:///{path}"
    before = examine(path)
    experiment = prepare_store(uri, "unit")
    assert (examine(path), connect(uri).get_experiment(experiment).name) == ("ready", "unit")
    aside = [file.name for file in path.parent.iterdir() if file.suffix == ".bak"]
    assert aside == ([] if before == "none" else ["mlflow.db.half-made.bak"])
    assert not [file for file in path.parent.iterdir() if "making" in file.name]


def test_a_store_that_a_kill_left_half_made_is_set_aside_and_made_anew(half_made):
    states = [examine(path) for path in half_made if not journal(path).exists()]
    assert {"none", "half made"} == {*states}
    for path in (half_made[0], half_made[len(half_made) // 3]):
        mended(path)


@pytest.mark.slow
def test_whatever_the_moment_of_the_kill(half_made):
    assert len(half_made) > 60
    for path in half_made[1::12]:
        mended(path)


def journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


CUT = """import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma cache_size = 1")  # pages go to the file before the end
rows = [(str(i), "x" * 1000) for i in range(500)]
db.executemany("insert into experiment_tags (key, value, experiment_id) values (?, ?, 0)", rows)
os.kill(os.getpid(), 9)
"""


def test_a_write_that_a_kill_cut_is_taken_back(store, tmp_path):
    """sqlite leaves a journal, and refuses whoever opens the file for reading alone until somebody
    has rolled the write back."""
    path = tmp_path / "mlflow.db"
    shutil.copy2(database(store), path)
    subprocess.run([sys.executable, "-c", CUT, str(path)])
    assert journal(path).stat().st_size
    assert examine(path) == "ready"
    assert column(path, "select count(*) from experiment_tags where key = '7'") == ["0"]
    assert not journal(path).exists() and prepare_store(f"sqlite:///{path}", "unit")


MAKE = "import sys; from rlhf.tracking.store import prepare_store; prepare_store(sys.argv[1], 'e')"


@pytest.mark.slow
def test_a_kill_leaves_no_half_of_a_store(tmp_path):
    path = tmp_path / "mlflow.db"
    with subprocess.Popen([sys.executable, "-c", MAKE, f"sqlite:///{path}"]) as maker:
        while maker.poll() is None and not any("making" in f.name for f in tmp_path.iterdir()):
            time.sleep(0.01)
        maker.send_signal(signal.SIGKILL)
    assert not path.exists()
    prepare_store(f"sqlite:///{path}", "e")
    assert examine(path) == "ready"
    assert {file.name for file in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


@pytest.mark.slow
def test_a_kill_in_the_middle_of_an_upgrade_loses_no_row(cut_upgrades):
    assert len(cut_upgrades) > 30
    for path in (cut_upgrades[0], cut_upgrades[len(cut_upgrades) // 2], cut_upgrades[-1]):
        before = content(path)
        make_ready(path)
        assert (examine(path), rows(path)) == ("ready", (RUNS, 3 * RUNS))
        (aside,) = [file for file in path.parent.iterdir() if file.suffix == ".bak"]
        assert journal(path).exists() or content(aside) == before or rows(aside) == rows(path)


@pytest.mark.slow
def test_an_upgrade_that_cannot_go_on_begins_again_from_the_copy_of_before(tmp_path):
    path = tmp_path / "mlflow.db"
    older(path, before=60)
    shutil.copyfile(path, tmp_path / "kept")
    with closing(sqlite3.connect(path)) as db:  # the next step would add it again
        db.execute("create table _alembic_tmp_metrics (key varchar)")
        db.execute("alter table experiments add column last_update_time bigint")
        db.execute("alter table experiments add column creation_time bigint")
        db.commit()
    before = content(settled(path))
    with pytest.raises(StoreError, match="left between two schemas .* no copy of before"):
        make_ready(path)
    assert content(path) == before and rows(path) == (RUNS, 3 * RUNS)
    shutil.copyfile(tmp_path / "kept", tmp_path / "mlflow.db.before.bak")
    make_ready(path)
    assert (examine(path), rows(path)) == ("ready", (RUNS, 3 * RUNS))


def newer(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table alembic_version (version_num varchar)")
        db.execute("insert into alembic_version values ('ffffffffffff')")
        db.commit()
    return "has schema ffffffffffff, which MLflow .* does not know"


def of_another_program(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table people (name text)")
        db.commit()
    return "another program's database .tables: people."


def a_text(path: Path) -> str:
    path.write_text("kl.coef=0.05\n" * 1000)
    return "is no sqlite database"


def a_cut_download(path: Path) -> str:
    path.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    return "is no sqlite database"


@pytest.mark.parametrize("make", [newer, of_another_program, a_text, a_cut_download])
def test_what_is_no_store_is_refused_and_left_as_it_is(tmp_path, make):
    path = tmp_path / "mlflow.db"
    reason = make(path)
    before = content(path)
    assert re.search(reason, refusal(f"sqlite:///{path}", "unit") or "")
    with pytest.raises(StoreError, match=reason):
        prepare_store(f"sqlite:///{path}", "unit")
    assert content(path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_directory_and_a_file_as_a_folder_are_refused(tmp_path):
    (tmp_path / "file").touch()
    assert "is a directory" in refusal(f"sqlite:///{tmp_path}", "unit")
    assert "file is not a folder" in refusal(f"sqlite:///{tmp_path}/file/mlflow.db", "unit")
    assert refusal(f"sqlite:///{tmp_path}/deep/er/mlflow.db", "unit") is None
    assert refusal("http://host", "unit") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_not_be_written_is_refused(tmp_path):
    path = tmp_path / "mlflow.db"
    path.touch()
    path.chmod(0o400)
    assert "this user may not write to it" in refusal(f"sqlite:///{path}", "unit")


ODD = ["a%20b?c=d", *(pytest.param(name, marks=pytest.mark.slow) for name in ("a#b", "a b", "ü'"))]


@pytest.mark.parametrize("name", ODD)
def test_a_folder_of_any_name_keeps_its_runs_and_their_files(rundirs, tmp_path, name):
    folder = tmp_path / name / "outputs"
    uri = f"sqlite:///{folder}/mlflow.db"
    assert database(uri) == folder / "mlflow.db"
    run = rundirs.make_run(tmp_path / name / "run")
    tracker = MLflowTracker(uri, "unit")
    tracker.begin(run, name="r", params={}, tags={"stage": "ppo"})
    assert tracker.finish("FINISHED", timeout=120) is None
    (report,) = folder.glob("mlartifacts/unit/*/artifacts/manifest.json")
    client = connect(uri)
    run_id = read_state(run)["run_id"]
    assert {"manifest.json"} <= {file.path for file in client.list_artifacts(run_id)}
    assert Path(client.download_artifacts(run_id, "manifest.json")).read_bytes() == (
        report.read_bytes()
    )
    assert [place.name for place in tmp_path.iterdir()] == [name]  # none of another spelling


def test_an_address_for_mlflow_has_no_mark_in_its_path():
    assert engine_uri(Path("/a b/mlflow.db")) == "sqlite:////a b/mlflow.db"
    assert engine_uri(Path("/a%20b/m?.db")) == "sqlite+pysqlite:////a%2520b/m%3F.db"
