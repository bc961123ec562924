"""The text of a run's page beside its numbers: its name, and the way to its sweep, to the stages
it starts from, to what starts from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rlhf.tracking.links import run_place, runs_place, with_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE_TAG = "mlflow.note.content"  # what MLflow shows as a run's description
PARENT = "parent."  # a run's tag `parent.sft` is the tag `fingerprint` of the stage's run


def relabel(client: MlflowClient, run_id: str, *, name: str, setting: str) -> None:
    """Gives a run the name and the tag `setting` that its sweep gives it by now. One whose tag
    is right keeps its name, maybe a user's."""
    run = client.get_run(run_id)
    if run.info.lifecycle_stage == "active" and run.data.tags.get("setting") != setting:
        client.update_run(run_id, name=name)
        client.set_tag(run_id, "setting", setting)


def describe(client: MlflowClient, run_id: str) -> None:
    """Writes the run's description, unless it has one. At the end of a run: by then MLflow knows
    the stages before it."""
    run = client.get_run(run_id)
    if NOTE_TAG not in run.data.tags and (
        text := description(client, run.info.experiment_id, run.data.tags)
    ):
        client.set_tag(run_id, NOTE_TAG, text)


def description(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> str:
    """Markdown for a run with these tags. Addresses are those of the same server, so that they
    stay right wherever it is."""
    sentences = []
    if "sweep" in tags:
        sentences.append(
            "Of the sweep"
            f" [{tags['sweep']}]({runs_place(experiment_id, with_tags({'sweep': tags['sweep']}))})."
        )
    parents = {
        key.removeprefix(PARENT): value
        for key, value in sorted(tags.items(), reverse=True)
        if key.startswith(PARENT)
    }
    if parents:
        stages = " and ".join(_stage(client, *parent) for parent in parents.items())
        sentences.append(f"Starts from {stages}.")
    if "fingerprint" in tags:
        search = with_tags({f"{PARENT}{tags['stage']}": tags["fingerprint"]})
        sentences.append(
            f"[Runs of this experiment that start from it]({runs_place(experiment_id, search)})."
        )
    return " ".join(sentences)


def _stage(client: MlflowClient, stage: str, fingerprint: str) -> str:
    """With a link if the stage was tracked here, in whatever experiment: studies share it."""
    from mlflow.exceptions import MlflowException

    name = f"{stage} {fingerprint[:8]}"
    try:
        everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(
            everywhere, with_tags({"stage": stage, "fingerprint": fingerprint}), max_results=1
        )
    except MlflowException:  # no permission, say: a link that is missing holds no numbers back
        return name
    return (
        f"[{name}]({run_place(runs[0].info.experiment_id, runs[0].info.run_id)})" if runs else name
    )
