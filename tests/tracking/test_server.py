"""A server over HTTP in place of a database file: what a team has."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlhf.commands.results import ui
from rlhf.commands.results.compare import main
from rlhf.compare import compare
from rlhf.rundir.files import read_jsonl
from rlhf.tracking.ended.deliver import deliver, pending
from rlhf.tracking.lookup import run_directory
from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.state import open_state, read_state
from rlhf.tracking.store import connect, prepare_store

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """MLflow's own, on a port of loopback that is free."""
    with served(tmp_path_factory.mktemp("server"), free_port()) as base:
        yield base


@contextmanager
def served(place: Path, port: int) -> Iterator[str]:
    place.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{place}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    process = subprocess.Popen(
        ui.command(port),
        cwd=place,
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if ui.answers(base) or process.poll() is not None:
                break
            time.sleep(0.5)
        assert ui.answers(base)
        yield base
    finally:
        ui.end(process)


@pytest.fixture(scope="module")
def tracked(server, rundirs, tmp_path_factory) -> Path:
    """A sweep of three runs that went to the server as they ran, and a stage that it still waits
    for."""
    place = tmp_path_factory.mktemp("tracked")
    stage = rundirs.make_run(place / "artifacts" / "sft" / "abc")
    open_state(
        stage,
        uri=server,
        experiment="team",
        name="sft",
        params={},
        tags={"stage": "sft", "fingerprint": "abc"},
    )
    sweep = place / "sweeps" / "over_http"
    for coef in (0.0, 0.05, 0.2):
        name = f"c{coef}"
        config = {"sweep": sweep.name, "paths": {"artifacts": str(place / "artifacts")}}
        run = rundirs.make_run(
            sweep / name, coef=coef, proxy=2 - coef, kl=8 - 10 * coef, config=config
        )
        rundirs.append(run / "samples.jsonl", {"iteration": 3, "prompt": "a", "response": "b"})
        tracker = MLflowTracker(server, "team", nested=True)
        tags = {"stage": "ppo", "sweep": sweep.name, "parent.sft": "abc"}
        rundirs.write(sweep / "sweep.json", {"overrides": ["kl.coef=0,0.05,0.2"], "jobs": []})
        tracker.begin(run, name=name, params={"kl.coef": coef}, tags=tags)
        assert tracker.finish("FINISHED", timeout=120) is None
    return sweep


def test_a_sweep_is_compared_and_attached(server, tracked):
    made = compare(tracked)
    assert made.warnings == ()
    assert not pending(tracked.parents[1] / "artifacts" / "sft" / "abc")
    client = connect(server)
    experiment = prepare_store(server, "team")
    found = client.search_runs([experiment], "tags.sweep = 'over_http'")
    (summary,) = [run for run in found if run.data.tags["stage"] == "sweep"]
    assert {run.data.tags.get("mlflow.parentRunId") for run in found if run is not summary} == {
        summary.info.run_id
    }
    assert {run.info.run_name for run in found} == {
        "sweep over_http",
        "kl.coef=0 seed=0",
        "kl.coef=0.05 seed=0",
        "kl.coef=0.2 seed=0",
    }
    assert {"description", "report.html", "frontier.png"} <= {
        file.path for file in client.list_artifacts(summary.info.run_id)
    }
    assert "command" not in made.links and all(
        link.startswith(f"{server}/#/") for link in made.links.values()
    )


def test_runs_are_found_by_experiment_and_by_id(server, tracked, monkeypatch, capsys):
    monkeypatch.chdir(tracked.parents[1])
    runs = sorted(path for path in tracked.iterdir() if path.is_dir())
    ids = [read_state(run)["run_id"] for run in runs]
    assert [run_directory(server, run_id) for run_id in ids] == runs
    assert main(["--mlflow", ids[0], ids[2], "--tracking-uri", server, "--into", "two"]) == 0
    table = Path("two/runs.csv").read_text()
    assert "c0.0" in table and "c0.2" in table and "c0.05" not in table
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert main(["--mlflow", "team"]) == 0
    (page,) = Path("outputs/comparisons").glob("*/report.html")
    assert "kl.coef=0.05" in page.read_text()
    capsys.readouterr()
    assert main(["--mlflow", "nobody", "--tracking-uri", server]) == 2
    assert "no experiment 'nobody'; it has Default, team" in capsys.readouterr().err
    assert main(["--mlflow", "0" * 32, "--tracking-uri", server]) == 2
    assert "is no run of rlhf in http://" in capsys.readouterr().err


def test_a_server_that_was_down_gets_all_of_a_run_from_the_same_command(run_in, tmp_path):
    """SFT, reward model and PPO: what waits on disk arrives when it is up, with its own times."""
    port = free_port()
    tracked = [
        "tracking=mlflow",
        f"tracking.uri=http://127.0.0.1:{port}",
        "tracking.experiment=unit",
        f"paths.artifacts={tmp_path / 'artifacts'}",
    ]
    run_in(tmp_path / "run", *tracked, without="tracking")
    places = [tmp_path / "run", *(tmp_path / "artifacts").glob("*/*/tracking.json")]
    places = [place if place.is_dir() else place.parent for place in places]
    owing = [place for place in places if pending(place)]
    assert len(owing) == 3
    with served(tmp_path / "server", port) as base:
        run_in(tmp_path / "run", *tracked, without="tracking")
        assert not any(map(pending, owing))
        for place in owing:
            run_id = read_state(place)["run_id"]
            history = connect(base).get_metric_history(run_id, "iteration")
            rows = read_jsonl(place / "metrics.jsonl")
            assert [point.step for point in history] == [row["iteration"] for row in rows]
            assert connect(base).get_run(run_id).info.status == "FINISHED"


def test_a_server_that_went_away_is_said_and_loses_nothing(rundirs, tmp_path, server, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://me:pw@127.0.0.1:{free.getsockname()[1]}"
    assert main(["--mlflow", "team", "--tracking-uri", gone]) == 2
    said = capsys.readouterr().err
    assert "does not answer" in said and "pw" not in said
    run = rundirs.make_run(tmp_path / "run")
    open_state(run, uri=server, experiment="team", name="late", params={}, tags={"stage": "ppo"})
    assert deliver(run) is None
    steps = [
        point.step
        for point in connect(server).get_metric_history(read_state(run)["run_id"], "iteration")
    ]
    assert steps == [0, 1, 2, 3]
