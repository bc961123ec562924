import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf.tracking.addresses import absolute_uri, database
from rlhf.tracking.store import StoreError, making, prepare_store
from rlhf.tracking.summary import LONGEST_NOTE, linked, log_sweep_summary, note


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        absolute_uri("sqlite:///outputs/mlflow.db?timeout=5")
        == f"sqlite:///{tmp_path}/outputs/mlflow.db?timeout=5"
    )
    assert absolute_uri(f"sqlite:///{tmp_path}/m.db") == f"sqlite:///{tmp_path}/m.db"
    assert absolute_uri("http://host:5000") == "http://host:5000"
    assert absolute_uri("postgresql+psycopg2://u@h/db") == "postgresql+psycopg2://u@h/db"
    assert database("sqlite:///m.db?x=1") == tmp_path / "m.db"
    assert database("http://host") is None


def test_what_a_killed_writer_left_half_written_beside_a_store_is_cleared(tmp_path):
    """A process has one number only while it lives; that of another machine is not known."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folders = (tmp_path, tmp_path / "mlartifacts" / "s" / "1" / "artifacts")
    folders[1].mkdir(parents=True)
    strays = [folder / f".x.{gone.pid}@{socket.gethostname()}.tmp" for folder in folders]
    others = [folder / f".x.{gone.pid}@elsewhere.tmp" for folder in folders]
    for path in (*strays, *others):
        path.touch()
    with making(tmp_path / "mlflow.db"):
        assert not any(path.exists() for path in strays)
    assert all(path.exists() for path in others)


def test_a_ready_store_is_recognised_at_once(store, client):
    start = time.monotonic()
    experiment_id = prepare_store(store, "unit")
    assert time.monotonic() - start < 0.5
    experiment = client.get_experiment(experiment_id)
    assert experiment.name == "unit"
    assert (
        experiment.artifact_location == (database(store).parent / "mlartifacts" / "unit").as_uri()
    )


def test_a_second_experiment_and_one_that_was_deleted(store, client):
    other = prepare_store(store, "other/one")
    assert other != prepare_store(store, "unit")
    client.delete_experiment(other)
    with pytest.raises(StoreError, match=f"in MLflow's trash.* restore -x {other}"):
        prepare_store(store, "other/one")
    assert client.get_experiment(other).lifecycle_stage == "deleted"


def test_a_sweep_has_one_summary_run(store, client, tmp_path):
    report = tmp_path / "report.md"
    report.write_text("# first")
    (tmp_path / "frontier.png").write_bytes(b"\x89PNG\xff")
    files = [report, tmp_path / "frontier.png", tmp_path / "missing.csv"]
    first = log_sweep_summary(
        store,
        "unit",
        sweep="it's",
        directory=tmp_path,
        metrics={"a": 1.0, "b": float("inf")},
        note_markdown="# Q",
        files=files,
    )
    report.write_text("# second")
    again = log_sweep_summary(
        store,
        "unit",
        sweep="it's",
        directory=tmp_path,
        metrics={"a": 1.0, "c": 2.0},
        note_markdown="# R",
        files=files,
    )
    assert first == again
    run = client.get_run(first)
    assert run.data.metrics == {"a": 1.0, "c": 2.0}
    assert len(client.get_metric_history(first, "a")) == 1
    assert (
        run.data.tags["sweep"],
        run.data.tags["stage"],
        run.data.tags["mlflow.note.content"],
    ) == ("it's", "sweep", "# R")
    assert run.info.status == "FINISHED"
    assert {f.path for f in client.list_artifacts(first)} == {"report.md", "frontier.png"}
    assert (
        Path(database(store).parent) / "mlartifacts" / "unit" / first / "artifacts" / "report.md"
    ).read_text() == "# second"


def test_a_description_shows_the_pictures_and_files_that_the_run_has():
    text = (
        "![F](frontier.png) ![C](controllers.png) [runs](runs.csv) [log](a/log.txt)"
        " [there](https://h/x)"
    )
    place = "get-artifact?path=description/frontier.png&run_uuid=ab"
    assert (
        linked(text, "ab", pictures=["frontier.png"], files=["frontier.png", "runs.csv"])
        == f"![F]({place})  [runs](get-artifact?path=runs.csv&run_uuid=ab) log [there](https://h/x)"
    )


def test_a_long_note_is_cut_at_a_line():
    text = "\n".join("| a row of a table |" for _ in range(1000))
    cut = note(text)
    assert len(cut) <= LONGEST_NOTE
    assert cut.endswith("artifacts.)")
    assert cut.splitlines()[-3] == "| a row of a table |"
    assert note("short") == "short"


def test_a_note_has_no_logins():
    assert note("from http://me:pw@host/") == "from http://***@host/"
