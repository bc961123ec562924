"""What is said of trackers before a run directory exists."""

from importlib.util import find_spec

import pytest

from rlhf.config.build import build
from rlhf.config.naming import run_hash
from rlhf.runs import execute
from rlhf.tracking.mlflow import MLflowTracker


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        (
            ["tracking=[mlflow,tensorbord]"],
            [
                "tracking=tensorbord: no such option; tracking has mlflow, none, several,"
                " tensorboard, trackio, wandb; did you mean tracking=tensorboard?"
            ],
        ),
        (
            ["tracking=several"],
            [
                "tracking=several: names no tracker; tracking=[mlflow,tensorboard] does, or"
                " tracking=none"
            ],
        ),
        (
            ["tracking=[mlflow,none]"],
            ["tracking.trackers.none: none is no tracker beside others; leave it out"],
        ),
        (
            ["tracking=[mlflow,tensorboard]", "+tracking@tracking.trackers.more=mlflow"],
            [
                "tracking.trackers.more: is a second mlflow beside tracking.trackers.mlflow; one of"
                " each kind"
            ],
        ),
        (
            ["tracking=[mlflow,wandb]", "tracking.wandb.mode=offline"],
            [
                "tracking.wandb.mode=offline: no such key; did you mean"
                " tracking.trackers.wandb.mode?"
            ],
        ),
        (
            ["tracking=wandb", "tracking.mode=of"],
            ["tracking.mode=of: expected one of online, offline or null"],
        ),
        (
            ["tracking=wandb", "tracking.project=a/b"],
            ["tracking.project=a/b: expected a name of 1 to 128 characters, without / \\ # ? % :"],
        ),
        (
            ["tracking=[mlflow,trackio]", "tracking.trackers.mlflow.experiment=''"],
            [
                "tracking.trackers.mlflow.experiment='': an experiment of MLflow needs a name; it"
                " is the study's if it is not set"
            ],
        ),
    ],
)
def test_faults(planned, words, faults):
    assert planned(*words).faults == faults


def test_who_watches_decides_no_result(planned):
    """Several are a run's tracking like one: in no name and no hash."""
    hashes = set()
    for words in ([], ["tracking=none"], ["tracking=[mlflow,tensorboard,wandb,trackio]"]):
        (job,) = planned(*words).jobs
        hashes.add(run_hash(job.config.plain()))
    assert len(hashes) == 1


def test_several_are_built_with_their_variables_as_they_are_written(planned, monkeypatch):
    monkeypatch.setenv("PLACE", "https://me:pw@host")
    words = ["tracking=[mlflow,tensorboard]", "tracking.trackers.mlflow.uri='${oc.env:PLACE}'"]
    (job,) = planned(*words).jobs
    several = build(job.config.tracking)
    first, second = several.trackers.values()
    assert isinstance(first, MLflowTracker) and first.uri == "${oc.env:PLACE}"
    assert second.logdir.endswith("outputs/tensorboard")


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_package_that_is_not_there_is_told_at_once(planned, name, monkeypatch):
    (job,) = planned(f"tracking=[mlflow,{name}]").jobs
    monkeypatch.setattr(
        execute, "find_spec", lambda package: None if package == name else find_spec(package)
    )
    assert execute.tracking_faults([job.config]) == [
        f"tracking={name} needs a package that is not there: pip install 'rlhf[{name}]'"
    ]


def test_wandb_online_without_a_key_is_told_at_once(planned, monkeypatch):
    monkeypatch.setattr(execute, "find_spec", lambda package: object())
    for variable in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")
    (job,) = planned("tracking=wandb").jobs
    (fault,) = execute.tracking_faults([job.config])
    assert fault.startswith("tracking=wandb goes online to https://api.wandb.ai and has no key:")
    (job,) = planned("tracking=wandb", "tracking.mode=offline").jobs
    assert execute.tracking_faults([job.config]) == []
