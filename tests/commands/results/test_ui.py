import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from rlhf.commands.results import ui
from rlhf.tracking.addresses import DEFAULT
from rlhf.tracking.store import connect, prepare_store

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_the_store_is_the_option_the_settings_the_environment_or_the_config(monkeypatch):
    assert ui.configured([]) == DEFAULT == "sqlite:///outputs/mlflow.db"
    assert ui.configured(["paths.outputs=/data"]) == "sqlite:////data/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////x/y.db")
    assert ui.configured([]) == "sqlite:////x/y.db"
    assert ui.configured(["tracking.uri=sqlite:///z.db"]) == "sqlite:///z.db"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "outputs/mlflow.db is not there: no run has been tracked in it"),
        (["--uri", "mlruns"], "write sqlite:///mlruns/mlflow.db"),
        (["tracking=none"], "track nothing in MLflow"),
        (["trackin.uri=x"], "no such key"),
        (["sweeps/x"], "sweeps/x is no directory; a setting is written key=value"),
        (["."], "holds no run of a sweep that MLflow has"),
        (["a", "b"], "one directory at a time, not a and b"),
    ],
)
def test_refused_with_a_sentence(arguments, said, capsys):
    assert ui.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_another_programs_database_is_not_served(tmp_path, capsys):
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("create table people (name text)")
    before = (tmp_path / "a.db").read_bytes()
    assert ui.main(["--uri", "sqlite:///a.db"]) == 2
    assert "another program's database" in capsys.readouterr().err
    assert (tmp_path / "a.db").read_bytes() == before


def test_a_taken_port_is_refused(tmp_path, capsys):
    (tmp_path / "a.db").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert ui.main(["--uri", "sqlite:///a.db", "--port", str(port)]) == 2
    assert f"port {port} is taken" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_a_port_that_is_none_is_refused(tmp_path, capsys, port):
    (tmp_path / "a.db").touch()
    assert ui.main(["--uri", "sqlite:///a.db", "--port", port]) == 2
    assert f"--port {port}: expected a whole number from 1 to 65535" in capsys.readouterr().err


def test_a_server_needs_no_other(capsys):
    assert ui.main(["--uri", "http://host:5000/"]) == 0
    assert "http://host:5000/#/experiments?workflowType=machine_learning" in capsys.readouterr().out


def test_the_page_of_a_run_on_a_server(tmp_path, capsys):
    state = {"uri": "http://me:pw@host:5000/", "experiment_id": "7", "run_id": "abc"}
    (tmp_path / "tracking.json").write_text(json.dumps(state))
    assert ui.main(["."]) == 0
    assert capsys.readouterr().out == (
        "a server has these runs: http://***@host:5000/#/experiments/7/runs/abc"
        "?workflowType=machine_learning\n"
    )


def test_on_loopback_with_one_worker():
    assert " ".join(ui.command(5001)[1:]) == "-m mlflow ui --host 127.0.0.1 --port 5001 --workers 1"


STAND_IN = """
import os, sys, time
told = [str(os.getpid()), os.environ["MLFLOW_BACKEND_STORE_URI"], *sys.argv]
open("seen", "w").write("\\n".join(told))
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_mlflow_and_no_password_is_in_its_command(tmp_path, number):
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").touch()
    (tmp_path / "mlflow" / "__main__.py").write_text(STAND_IN)
    uri = "postgresql://me:secret@host/db"
    # also where the tests themselves run under nohup
    heard = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"
    command = [
        sys.executable,
        "-c",
        f"{heard}; import sys; from rlhf.commands.results.ui import serve;"
        f" sys.exit(serve({uri!r}, 1, ''))",
    ]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    seen = tmp_path / "seen"
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if seen.exists() and "--workers" in seen.read_text():
                break
            time.sleep(0.05)
        pid, told, *arguments = seen.read_text().split("\n")
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(30) == 0
        assert "secret" not in process.stdout.read()
    assert told == uri
    assert "secret" not in " ".join(arguments)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_its_end_takes_the_children_along():
    script = (
        "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True);"
        " time.sleep(60)"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, stdout=subprocess.PIPE
    )
    child = int(server.stdout.readline())
    ui.end(server)
    assert server.poll() is not None
    for _ in range(100):
        if (
            not Path(f"/proc/{child}").exists()
            or Path(f"/proc/{child}/stat").read_text().split()[2] == "Z"
        ):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child is still there")


@pytest.mark.slow
def test_it_serves_the_store_and_opens_its_page_until_it_is_told_to_end(tmp_path):
    store = f"sqlite:///{tmp_path}/a%20b?c/m.db"
    experiment = prepare_store(store, "e")
    run_id = connect(store).create_run(experiment).info.run_id
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o700)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BROWSER": f"{browser} %s"}
    command = [sys.executable, "-m", "rlhf", "ui", "--uri", store, "--port", str(port)]
    base = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        page = process.stdout.readline()
        assert page == f"{base}/#/experiments/{experiment}/runs?workflowType=machine_learning\n"
        assert ui.answers(base)
        question = f"{base}/api/2.0/mlflow/runs/get?run_id={run_id}"
        assert run_id in urllib.request.urlopen(question, timeout=60).read().decode()
        for _ in range(600):
            if (tmp_path / "opened").exists():
                break
            time.sleep(0.05)
        assert (tmp_path / "opened").read_text() == page
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not ui.answers(base)
