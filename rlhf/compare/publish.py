"""Puts a comparison into MLflow, where the sweep's runs are. Never fails: what does not work
becomes a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.findings import GOLD
from rlhf.compare.statistics.settings import differing, reward_keys
from rlhf.config.titles import question, run_label, setting, varied
from rlhf.rundir.read import read_json
from rlhf.rundir.redact import redact_text, sentence
from rlhf.tracking import compare_link, deliver, log_sweep_summary, pending, run_link, ui_command
from rlhf.tracking.links import view_link
from rlhf.tracking.relations import relabel
from rlhf.tracking.state import read_state
from rlhf.tracking.store import connect, database, prepare_store
from rlhf.tracking.views import save_views

WIDTH = 800  # pixels


def target(runs: Sequence[Run]) -> tuple[str, str] | None:
    """(uri, experiment) of the first run that was tracked, None where tracking was off. Imports no
    MLflow.

    A run's own state comes first: a config may name the database relative to where the command was
    given.
    """
    for run in runs:
        state = read_state(run.directory)
        if state.get("uri"):
            return str(state["uri"]), str(state["experiment"])
    for run in runs:
        if run.config.get("tracking") == "mlflow" and run.config.get("tracking.uri"):
            return str(run.config["tracking.uri"]), str(run.config["tracking.experiment"])
    return None


def attach(
    directory: Path,
    runs: Sequence[Run],
    markdown: str,
    metrics: Mapping[str, float],
    files: Sequence[Path],
) -> tuple[dict[str, str], list[str]]:
    """Deliver what runs still owe, name them, then write the summary run and the views. Returns
    links and warnings."""
    where = target(runs)
    if where is None:
        return {}, []
    uri, experiment = where
    try:
        path = database(uri)
        if path is not None and not path.exists():
            return {}, [f"The comparison was not attached: {path} is not there any more."]
        # a server that is silent is waited for once, not for every run
        prepare_store(uri, experiment)
        late = [said for owing in _owing(runs) if (said := deliver(owing))] + _name(uri, runs)
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
                note_markdown=_described(directory, markdown),
                files=files,
                pictures=_small(files, Path(folder)),
            )
        return _links(uri, name, run_id, runs), late
    except Exception as error:  # of MLflow or any library below it
        return {}, [
            f"The comparison was not attached: MLflow at {redact_text(uri)} says {sentence(error)}"
        ]


def _owing(runs: Sequence[Run]) -> list[Path]:
    """The directories of runs, and of the stages they share, that MLflow has not all of."""
    stages = {
        path.parent
        for run in runs
        if (root := run.config.get("paths.artifacts"))
        for path in Path(str(root)).glob("*/*/tracking.json")
    }
    return [
        place
        for place in (*sorted(stages), *(run.directory for run in runs if run.status != "running"))
        if pending(place)
    ]


def _tracked(uri: str, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """The runs that MLflow has in this store, by name: what their tracking.json says."""
    return {
        run.name: state
        for run in runs
        if (state := read_state(run.directory)).get("run_id") and state.get("uri") == uri
    }


def _name(uri: str, runs: Sequence[Run]) -> list[str]:
    """By what the sweep varies by now: a later command may have added to it. Returns a sentence
    if MLflow has lost one."""
    tracked, client = _tracked(uri, runs), connect(uri)
    late = []
    for run in runs:
        if run.name in tracked and run.status != "running" and "kl.controller" in run.config:
            varies = varied(run.directory)
            try:
                relabel(
                    client,
                    tracked[run.name]["run_id"],
                    name=run_label(run.config, varies),
                    setting=setting(run.config, varies),
                )
            except Exception as error:  # of MLflow or any library below it
                late.append(f"{run.name} keeps its name in MLflow: {sentence(error)}")
    return late


def _links(uri: str, sweep: str, summary: str, runs: Sequence[Run]) -> dict[str, str]:
    tracked = _tracked(uri, runs)
    command = ui_command(uri)
    links = {"command": command} if command else {}
    experiments = list(dict.fromkeys(str(state["experiment_id"]) for state in tracked.values()))
    if not experiments:
        return links
    links["summary"] = run_link(uri, experiments[0], summary)
    if len(experiments) == 1 and all(
        run.config.get("sweep") == sweep for run in runs if run.name in tracked
    ):
        links |= _views(uri, experiments[0], sweep, runs)
    # MLflow plots only metrics that all runs have
    whole = [run.name for run in runs if run.finished] or tracked
    links["side by side"] = compare_link(
        uri, experiments, [str(tracked[name]["run_id"]) for name in whole if name in tracked]
    )
    return links


def _views(uri: str, experiment_id: str, sweep: str, runs: Sequence[Run]) -> dict[str, str]:
    """A server that takes no views loses nothing else."""
    rewards = sorted(reward_keys(runs), key=lambda key: key != GOLD)
    try:
        listed, charted = save_views(
            connect(uri),
            experiment_id,
            sweep=sweep,
            rewards=rewards,
            params=[*differing(runs), "seed"],
        )
    except Exception:  # of MLflow or any library below it
        return {}
    return {
        "runs": view_link(uri, experiment_id, listed, "TABLE"),
        "charts": view_link(uri, experiment_id, charted, "CHART"),
        "samples": view_link(uri, experiment_id, listed, "ARTIFACT"),
    }


def _described(directory: Path, markdown: str) -> str:
    """The report, and what the experiment asks in place of the title: the run has it as its
    name."""
    asked = question(map(str, read_json(directory / "sweep.json").get("overrides", ())))
    text = markdown.partition("\n")[2].lstrip()
    return f"*{asked}*\n\n{text}" if asked else text


def _small(files: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of the pictures that are no wider than a description."""
    from matplotlib import image

    made = []
    for path in (path for path in files if path.suffix == ".png"):
        made.append(folder / path.name)
        scale = min(1.0, WIDTH / image.imread(path).shape[1])
        image.thumbnail(str(path), str(made[-1]), scale=scale, interpolation="lanczos")
    return made
