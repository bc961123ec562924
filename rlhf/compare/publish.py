"""Puts a comparison into MLflow, where the sweep's runs are. Never fails: what does not work
becomes a sentence."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlhf.compare.best import publish_best
from rlhf.compare.figures import vega
from rlhf.compare.pages import introduce, view_links
from rlhf.compare.read import Run
from rlhf.compare.statistics import Study
from rlhf.config.titles import question, run_label, setting, varied
from rlhf.rundir.paths.points import path_of
from rlhf.rundir.read import read_json
from rlhf.rundir.secrets.redact import redact_text, sentence
from rlhf.tracking.addresses import database
from rlhf.tracking.ended.deliver import deliver_beside_mlflow, mend_states
from rlhf.tracking.links import compare_link, relabel, run_link, ui_command
from rlhf.tracking.mlflow import MLflowSink
from rlhf.tracking.services.table import SINKS, links_of
from rlhf.tracking.spool.late import deliver_late, owes
from rlhf.tracking.state import original, read_own, read_state
from rlhf.tracking.store import connect, prepare_store
from rlhf.tracking.summary import log_sweep_summary

WIDTH = 800  # pixels
MOST_BY_SIDE = 8  # runs whose ids (32 letters each) an address can hold and still be read


def target(runs: Sequence[Run]) -> tuple[str, str] | None:
    """(uri, experiment) of the first run that was tracked, None where none was. Imports no MLflow.

    Only a directory's own state counts: a copy, or one that came from elsewhere, names a store that
    is others'.
    """
    known = (state for run in runs if (state := read_own(run.directory)).get("uri"))
    return next(((str(state["uri"]), str(state["experiment"])) for state in known), None)


def _copied(runs: Sequence[Run]) -> list[str]:
    """A sentence where runs were tracked, but none of them in its directory."""
    for run in runs:
        state = read_state(run.directory)
        if uri := state.get("uri"):
            before = original(state)
            advice = (
                "compare that one"
                if before and before.exists()
                else "if there is no other, --adopt makes its runs in MLflow this directory's"
            )
            return [
                f"The comparison was not attached: {run.directory} is a copy of"
                f" {before or 'another directory'}, and MLflow at {redact_text(str(uri))} has the"
                f" runs of that; {advice}."
            ]
    return []


def attach(
    study: Study,
    metrics: Mapping[str, float],
    files: Sequence[Path],
    pictures: Mapping[str, vega.Spec],
) -> tuple[dict[str, str], list[str]]:
    """Deliver what runs still owe, and bring the comparison into MLflow where they are there.
    Returns links and warnings. `pictures`: those of the description, by the names of their
    files."""
    places = _ended(study.runs)
    mend_states(places)
    late = deliver_beside_mlflow(places)
    owing = [place for place in places if owes(place, MLflowSink)]
    links, warnings = _in_mlflow(study, owing, metrics, files, pictures)
    return {**links, **links_of(run.directory for run in study.runs)}, late + warnings


def _in_mlflow(
    study: Study,
    owing: Sequence[Path],
    metrics: Mapping[str, float],
    files: Sequence[Path],
    pictures: Mapping[str, vega.Spec],
) -> tuple[dict[str, str], list[str]]:
    """Delivers what is owed, names the runs, writes the summary run and the views."""
    runs, directory = study.runs, study.directory
    where = target(runs)
    if where is None:
        return {}, _copied(runs)
    uri, experiment = where
    try:
        path = database(uri)
        if path is not None and not path.exists() and _tracked(uri, runs):
            return {}, [f"The comparison was not attached: {path} is not there any more."]
        # a server that is silent is waited for once, not for every run
        prepare_store(uri, experiment)
        late = [word for place in owing if (word := deliver_late(place, MLflowSink))]
        late += _name(uri, runs)
        name = next(
            (str(run.config["sweep"]) for run in runs if run.config.get("sweep")), directory.name
        )
        with TemporaryDirectory() as folder:
            run_id = log_sweep_summary(
                uri,
                experiment,
                sweep=name,
                directory=directory,
                # below the runs' own in MLflow's charts
                metrics={f"sweep/{key}": value for key, value in metrics.items()},
                note_markdown=_described(directory),
                files=files,
                pictures=_small(pictures, Path(folder), directory),
            )
        models, lost = _models(uri, name, run_id, study)
        links = _links(uri, name, run_id, study) | models
        return links, late + lost + _introduced(uri, name, study, links)
    except Exception as error:  # of MLflow or any library below it
        return {}, [
            f"The comparison was not attached: MLflow at {redact_text(uri)} says {sentence(error)}"
        ]


def _ended(runs: Sequence[Run]) -> list[Path]:
    """The directories of the runs that have ended, and of the stages that they share. One that is
    made at this moment (`.work`) is its maker's to deliver."""
    roots = {Path(str(root)) for run in runs if (root := run.config.get("paths.artifacts"))}
    states = (path for root in roots for kind in SINKS for path in root.glob(f"*/*/{kind.file}"))
    stages = {path.parent for path in states if path.parent.suffix != ".work"}
    ended = [run.directory for run in runs if run.status != "running"]
    # a path before its points, which MLflow may have below its run
    return [*sorted(stages), *sorted(ended, key=lambda place: path_of(place) is not None)]


def _tracked(uri: str, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """The runs that MLflow has in this store, by name: what their tracking.json says."""
    return {
        run.name: state
        for run in runs
        if (state := read_own(run.directory)).get("run_id") and state.get("uri") == uri
    }


def _name(uri: str, runs: Sequence[Run]) -> list[str]:
    """By what the sweep varies by now: a later command may have added to it. Returns a sentence
    if MLflow has lost one."""
    tracked, client = _tracked(uri, runs), connect(uri)
    late = []
    for run in runs:
        if run.name in tracked and run.status != "running" and "kl.controller" in run.pieces:
            varies = varied(run.directory)
            try:
                name, shown = run_label(run.config, varies), setting(run.config, varies)
                relabel(client, tracked[run.name]["run_id"], name=name, setting=shown)
            except Exception as error:  # of MLflow or any library below it
                late.append(f"{run.name} keeps its name in MLflow: {sentence(error)}")
    return late


def _links(uri: str, sweep: str, summary: str, study: Study) -> dict[str, str]:
    runs, command = study.runs, ui_command(uri)
    tracked = _tracked(uri, runs)
    links = {"command": command} if command else {}
    experiments = list(dict.fromkeys(str(state["experiment_id"]) for state in tracked.values()))
    if not experiments:
        return links
    links["summary"] = run_link(uri, experiments[0], summary)
    if len(experiments) == 1 and all(
        run.config.get("sweep") == sweep for run in runs if run.name in tracked
    ):
        links |= view_links(uri, experiments[0], sweep, study)
        if command and "runs" in links:  # it finds the store and the page by the directory
            links["command"] = f"rlhf ui {shlex.quote(os.path.relpath(study.directory))}"
    if "runs" in links:  # its list sets runs side by side too, and an address of ids is long
        return links
    # MLflow plots only metrics that all runs have
    whole = [run.name for run in runs if run.finished] or tracked
    ids = [str(tracked[name]["run_id"]) for name in whole if name in tracked]
    if len(ids) <= MOST_BY_SIDE:
        links["side by side"] = compare_link(uri, experiments, ids)
    return links


def _models(uri: str, sweep: str, run_id: str, study: Study) -> tuple[dict[str, str], list[str]]:
    """The link to the best policy's page, or a sentence where MLflow does not take it: the
    comparison is there all the same."""
    try:
        return publish_best(uri, study, sweep=sweep, summary_run=run_id), []
    except Exception as error:  # of MLflow or any library below it
        return {}, [
            f"The best policy is no model in MLflow at {redact_text(uri)}: {sentence(error)}"
        ]


def _introduced(uri: str, sweep: str, study: Study, links: Mapping[str, str]) -> list[str]:
    """A sentence where MLflow does not take the runs' colours or the experiment's description."""
    ids = {name: str(state["run_id"]) for name, state in _tracked(uri, study.runs).items()}
    try:
        introduce(uri, sweep, study, links, ids)
    except Exception as error:  # of MLflow or any library below it
        return [f"The sweep is not introduced in MLflow at {redact_text(uri)}: {sentence(error)}"]
    return []


def _described(directory: Path) -> str:
    """The report, with the question of the experiment in place of the title: the run has it as
    its name."""
    asked = question(map(str, read_json(directory / "sweep.json").get("overrides", ())))
    text = (directory / "report.md").read_text(encoding="utf-8").partition("\n")[2].lstrip()
    return f"*{asked}*\n\n{text}" if asked else text


def _small(pictures: Mapping[str, vega.Spec], folder: Path, drawn: Path) -> list[Path]:
    """The pictures, no wider than a description. `drawn`: the folder that has them."""
    paths = {folder / name: spec for name, spec in pictures.items()}
    for path, spec in paths.items():
        vega.save_png(spec, path, widest=WIDTH, drawn=drawn / path.name)
    return list(paths)
