import os
import threading

import pytest
from filelock import FileLock

from rlhf.config.compose import compose, validate
from rlhf.sweeps.launchers.prepare import (
    at_once,
    least_used,
    preloads,
    prepare_tracking,
    visible_gpus,
)


def test_the_server_imports_what_the_jobs_need(monkeypatch):
    """MLflow where runs are tracked, kept quiet by the environment."""
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    modules = preloads([validate(compose(["tracking=none"]))])
    assert modules[0] == "rlhf.runs.preload"
    assert modules[-1] == "rlhf.runs.common.preload"  # after what pieces are made of
    assert "rlhf.data.sources.reviews" in modules
    assert "mlflow" not in modules and "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    assert {"mlflow", "mlflow.store.tracking.sqlalchemy_store"} <= {
        *preloads([validate(compose())])
    }
    server = preloads([validate(compose(["tracking.uri=http://127.0.0.1:9"]))])
    assert "mlflow.store.tracking.rest_store" in server
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"


@pytest.mark.parametrize(
    ("asked", "cores", "threads", "gpus", "jobs"),
    [
        (None, 2, 1, 0, 2),
        (None, 16, 1, 0, 16),
        (None, 16, 3, 0, 5),
        (None, 2, 4, 0, 1),
        (None, 16, 4, 0, 4),
        (None, 1, 1, 0, 1),
        (None, 16, 4, 2, 2),
        (3, 2, 1, 0, 3),
        (3, 16, 1, 2, 3),
    ],
)
def test_jobs_at_a_time(asked, cores, threads, gpus, jobs):
    assert at_once(asked, cores=cores, threads=threads, gpus=gpus) == jobs


@pytest.mark.parametrize(("room", "jobs"), [(None, 8), (3, 3), (20, 8)])
def test_no_more_jobs_than_the_memory_has_room_for(room, jobs):
    """Unless they were asked for."""
    assert at_once(None, cores=8, threads=1, gpus=0, room=room) == jobs
    assert at_once(5, cores=8, threads=1, gpus=0, room=room) == 5


def test_the_gpus_are_the_users_list_or_the_devices(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ("0", "1")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3, GPU-ab"}, tmp_path) == ("3", "GPU-ab")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()
    # CUDA reads up to the -1
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1,-1,2"}, tmp_path) == ("1",)
    assert visible_gpus({}, tmp_path / "nowhere") == ()


def test_the_gpus_with_the_fewest_jobs():
    assert least_used(("0", "1"), []) == ("0",)
    assert least_used(("0", "1"), ["0"]) == ("1",)
    assert least_used(("0", "1"), ["1", "0", "1"]) == ("0",)
    assert least_used((), []) == ()
    assert least_used(("a", "b", "c", "d"), ["b", "a"], 2) == ("c", "d")
    assert least_used(("a", "b"), [], 3) == ("a", "b")


@pytest.mark.parametrize(
    ("cores", "threads", "gpus", "devices", "jobs"),
    [(8, 1, 0, 2, 4), (8, 2, 0, 2, 2), (2, 1, 0, 4, 1), (2, 1, 8, 2, 4), (2, 1, 8, 3, 2)],
)
def test_jobs_of_several_devices(cores, threads, gpus, devices, jobs):
    """8 cores take 8 / (2 processes * 2 threads) = 2 jobs; 8 GPUs take 8 // 3 = 2 of three."""
    asked = {"cores": cores, "threads": threads, "gpus": gpus, "devices": devices}
    assert at_once(None, **asked) == jobs


def test_jobs_start_while_a_store_is_still_made(tmp_path, capsys):
    """Somebody makes it, and does not end: the jobs are told what waits, and start."""
    config = validate(compose(["tracking=mlflow", f"paths.outputs={tmp_path}"]))
    before = {*threading.enumerate()}
    with FileLock(tmp_path / "mlflow.db.lock"):
        prepare_tracking([config], patience=0.2)
        said = capsys.readouterr().err
        assert said == (
            f"tracking: sqlite:///{tmp_path}/mlflow.db is not ready after 0.2 s; the jobs start,"
            " and their metrics wait on disk until it is there\n"
        )
    for maker in {*threading.enumerate()} - before:
        maker.join()
    assert (tmp_path / "mlflow.db").is_file()


def test_a_store_that_does_not_answer_is_said(tmp_path, capsys):
    config = validate(compose(["tracking=mlflow", "tracking.uri=http://me:pw@127.0.0.1:9"]))
    prepare_tracking([config], patience=60)
    said = capsys.readouterr().err
    assert said.startswith("tracking: http://***@127.0.0.1:9 does not answer")
    assert said.endswith("runs go on, and their metrics wait on disk until it is there\n")
