"""Puts a comparison into MLflow, where the sweep's runs are. Never fails: what does not work becomes a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rlhf.compare.load import Run
from rlhf.tracking import compare_link, deliver, log_sweep_summary, pending, run_link, ui_command
from rlhf.tracking.delivery import read_state
from rlhf.tracking.redact import redact_text
from rlhf.tracking.store import database


def target(runs: Sequence[Run]) -> tuple[str, str] | None:
    """(uri, experiment) of the first run that was tracked, None where tracking was off. Imports no MLflow.

    A run's own state comes first: a config may name the database relative to where the command was given.
    """
    for run in runs:
        state = read_state(run.directory)
        if state.get("uri"):
            return str(state["uri"]), str(state["experiment"])
    for run in runs:
        if str(run.config.get("tracking._target_", "")).endswith("MLflowTracker") and run.config.get("tracking.uri"):
            return str(run.config["tracking.uri"]), str(run.config["tracking.experiment"])
    return None


def attach(
    directory: Path, runs: Sequence[Run], markdown: str, metrics: Mapping[str, float], files: Sequence[Path]
) -> tuple[dict[str, str], list[str]]:
    """Deliver what runs still owe, then write the summary run. Returns links and warnings."""
    where = target(runs)
    if where is None:
        return {}, []
    uri, experiment = where
    try:
        path = database(uri)
        if path is not None and not path.exists():
            return {}, [f"The comparison was not attached: {path} is not there any more."]
        late = [said for owing in _owing(runs) if (said := deliver(owing))]
        name = next((str(run.config["sweep"]) for run in runs if run.config.get("sweep")), directory.name)
        run_id = log_sweep_summary(
            uri, experiment, sweep=name, directory=directory, metrics=metrics, note_markdown=_note(markdown), files=files
        )
    except Exception as error:  # of MLflow or any library below it
        first = next(iter(str(error).splitlines()), type(error).__name__)
        return {}, [f"The comparison was not attached: MLflow at {redact_text(uri)} says {redact_text(first)[:200]}"]
    return _links(uri, run_id, runs), late


def _owing(runs: Sequence[Run]) -> list[Path]:
    """The directories of runs, and of the stages they share, that MLflow has not all of."""
    stages = {
        path.parent for run in runs if (root := run.config.get("paths.artifacts")) for path in Path(str(root)).glob("*/*/tracking.json")
    }
    return [place for place in (*sorted(stages), *(run.directory for run in runs if run.status != "running")) if pending(place)]


def _links(uri: str, summary: str, runs: Sequence[Run]) -> dict[str, str]:
    states = [state for run in runs if (state := read_state(run.directory)).get("run_id") and state.get("uri") == uri]
    command = ui_command(uri)
    links = {"command": command} if command else {}
    experiments = list(dict.fromkeys(str(state["experiment_id"]) for state in states))
    if experiments:
        links["summary"] = run_link(uri, experiments[0], summary)
        links["side by side"] = compare_link(uri, experiments, [str(state["run_id"]) for state in states])
    return links


def _note(markdown: str) -> str:
    """The report without its picture: a description cannot show the run's own files."""
    return "\n".join(line for line in markdown.splitlines() if not line.startswith("!["))
