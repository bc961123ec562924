"""Addresses in MLflow's web page, and the text of a run's page that leads along them: to its sweep,
to the stages it starts from, to what starts from it.

It is one page: what comes after `#` says which part of it."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from rlhf.rundir.secrets.redact import looked_up, redact_text
from rlhf.tracking.addresses import absolute_uri, database, default_uri
from rlhf.tracking.database import column
from rlhf.tracking.state import read_state
from rlhf.tracking.store import Client

NOTE_TAG = "mlflow.note.content"  # what MLflow shows as a run's description
PARENT = "parent."  # a run's tag `parent.sft` is the tag `fingerprint` of the stage's run
LOCAL = "http://127.0.0.1:5000/"
MODE = "workflowType=machine_learning"
VIEW_TAG = "mlflow.sharedViewState."  # of an experiment, followed by a view's name
BY_NAME = "tags.`mlflow.runName`"


def _known(uri: str) -> str:
    """The address with the variables of the environment that are set."""
    try:
        return looked_up(uri)
    except ValueError:
        return uri


def page(uri: str) -> str:
    """The page's address: the server itself, or that at which `ui_command` serves a database."""
    uri = redact_text(_known(uri))
    return uri.rstrip("/") + "/" if uri.startswith("http") else LOCAL


def ui_command(uri: str) -> str | None:
    """The command that serves a database on this computer only; None where a server already does.

    The address is left out where `rlhf ui` given here finds the store without it. A password in it
    is not printed.
    """
    if _known(uri).startswith(("http", "databricks")):
        return None
    try:
        default = absolute_uri(default_uri()) == absolute_uri(uri)
    except ValueError:  # MLFLOW_TRACKING_URI names no store
        default = False
    return "rlhf ui" if default else f"rlhf ui --uri {shlex.quote(redact_text(uri))}"


def run_link(uri: str, experiment_id: str, run_id: str) -> str:
    return page(uri) + run_place(experiment_id, run_id)


def run_place(experiment_id: str, run_id: str) -> str:
    """The part of a run's address that a page of the same server needs."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{MODE}"


def runs_place(experiment_id: str, search: str) -> str:
    """The same of the list of an experiment's runs that a search finds, by name."""
    return (
        f"#/experiments/{experiment_id}/runs?searchFilter={quote(search)}"
        f"&orderByKey={quote(BY_NAME)}&orderByAsc=true&{MODE}"
    )


def view_link(
    uri: str, experiment_id: str, view: str, mode: Literal["TABLE", "CHART", "ARTIFACT"]
) -> str:
    """A saved view (see `views`) as a list of runs, as charts, or as the samples of the runs
    side by side."""
    shown = "" if mode == "TABLE" else f"&compareRunsMode={mode}"  # a list is what it opens on
    return f"{page(uri)}#/experiments/{experiment_id}/runs?viewStateShareKey={view}{shown}&{MODE}"


def place_of(link: str) -> str:
    """The part of a link that a page of the same server needs."""
    return "#" + link.partition("#")[2]


def with_tags(tags: Mapping[str, str]) -> str:
    """A search for the runs that have these tags."""
    quotes = {key: '"' if "'" in value else "'" for key, value in tags.items()}
    return " and ".join(
        f"tags.`{key}` = {quotes[key]}{value}{quotes[key]}" for key, value in tags.items()
    )


def compare_link(uri: str, experiment_ids: Sequence[str], run_ids: Sequence[str]) -> str:
    """The page that sets runs side by side: parallel coordinates, scatter, box and contour
    plots, and a table."""
    runs, experiments = (quote(compact(list(ids))) for ids in (run_ids, experiment_ids))
    return f"{page(uri)}#/compare-runs?runs={runs}&experiments={experiments}&{MODE}"


def compact(value: object) -> str:
    """JSON without spaces: not every MLflow takes a tag of more than 5,000 characters."""
    return json.dumps(value, separators=(",", ":"))


def directory_links(directory: Path) -> dict[str, str]:
    """Of a run's directory: the command that serves its store and its page there. {} if it was
    never tracked."""
    state = read_state(directory)
    if not state.get("run_id"):
        return {}
    command = ui_command(state["uri"])
    return {
        **({"mlflow": command} if command else {}),
        "run": run_link(state["uri"], state["experiment_id"], state["run_id"]),
    }


def tracked_place(directory: Path) -> tuple[str, str]:
    """Of a sweep's or a run's directory: the store that it was tracked in, and the part of an
    address there that is its page: a sweep's saved list of runs, or a search for them.

    Raises:
        ValueError: it is no directory, or was never tracked.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory} is no directory; a setting is written key=value")
    if state := _delivered(directory):
        return state["uri"], run_place(state["experiment_id"], state["run_id"])
    states = filter(None, map(_delivered, sorted(filter(Path.is_dir, directory.iterdir()))))
    state = next((state for state in states if state["tags"].get("sweep")), {})
    if not state:
        raise ValueError(f"{directory} holds no run of a sweep that MLflow has")
    uri, experiment_id, sweep = state["uri"], str(state["experiment_id"]), state["tags"]["sweep"]
    view, path = view_name(sweep, "runs"), database(uri)
    query = "select key from experiment_tags where experiment_id = ? and key = ?"
    if path is not None and path.is_file() and column(path, query, experiment_id, VIEW_TAG + view):
        return uri, f"#/experiments/{experiment_id}/runs?viewStateShareKey={view}&{MODE}"
    mark = '"' if "'" in sweep else "'"
    search = quote(f"tags.sweep={mark}{sweep}{mark}")
    return uri, f"#/experiments/{experiment_id}/runs?searchFilter={search}&{MODE}"


def _delivered(directory: Path) -> dict[str, Any]:
    """The directory's state if MLflow has a run by it."""
    state = read_state(directory)
    return state if state.get("run_id") and state.get("uri") else {}


def newest_place(uri: str) -> str:
    """The runs of the experiment that has the newest one in a sqlite store, else the list of
    experiments."""
    path = database(uri)
    query = "select experiment_id from runs order by start_time desc limit 1"
    try:
        newest = column(path, query) if path else []
    except sqlite3.Error:
        newest = []
    return f"#/experiments/{newest[0]}/runs?{MODE}" if newest else f"#/experiments?{MODE}"


def view_name(sweep: str, kind: Literal["runs", "charts"]) -> str:
    """The name of a sweep's saved view (see `views`) in addresses."""
    return re.sub(r"[^\w.-]", "_", f"{sweep}.{kind}")


def relabel(client: Client, run_id: str, *, name: str, setting: str) -> None:
    """Gives a run the name and the tag `setting` that its sweep gives it by now. One whose tag
    is right keeps its name, maybe a user's."""
    run = client.get_run(run_id)
    if run.info.lifecycle_stage == "active" and run.data.tags.get("setting") != setting:
        client.update_run(run_id, name=name)
        client.set_tag(run_id, "setting", setting)


def describe(client: Client, run_id: str) -> None:
    """Writes the run's description, unless it has one. At the end of a run: by then MLflow knows
    the stages before it."""
    run = client.get_run(run_id)
    if NOTE_TAG not in run.data.tags and (
        text := description(client, run.info.experiment_id, run.data.tags)
    ):
        client.set_tag(run_id, NOTE_TAG, text)


def description(client: Client, experiment_id: str, tags: Mapping[str, str]) -> str:
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
        stages = [_stage(client, *parent) for parent in parents.items()]
        sentences.append(f"Starts from {' and '.join(stages)}.")
    if "fingerprint" in tags:
        search = with_tags({f"{PARENT}{tags['stage']}": tags["fingerprint"]})
        sentences.append(
            f"[Runs of this experiment that start from it]({runs_place(experiment_id, search)})."
        )
    return " ".join(sentences)


def _stage(client: Client, stage: str, fingerprint: str) -> str:
    """With a link if the stage was tracked here, in whatever experiment: studies share it."""
    from mlflow.exceptions import MlflowException

    name = f"{stage} {fingerprint[:8]}"
    try:
        runs = client.search_runs(
            [experiment.experiment_id for experiment in client.search_experiments()],
            with_tags({"stage": stage, "fingerprint": fingerprint}),
            max_results=1,
        )
    except MlflowException:  # no permission, say: a link that is missing holds no numbers back
        return name
    return (
        f"[{name}]({run_place(runs[0].info.experiment_id, runs[0].info.run_id)})" if runs else name
    )
