"""The one MLflow run that speaks for a whole sweep."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from rlhf.tracking.artifacts import send_file
from rlhf.tracking.redact import redact_text
from rlhf.tracking.spool import number
from rlhf.tracking.store import connect, prepare_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_NOTE = 8000  # characters of a tag; MLflow cuts what is longer
_REST = "\n\n(The rest is in report.md, among this run's artifacts.)"


def log_sweep_summary(
    uri: str, experiment: str, *, sweep: str, directory: Path, metrics: Mapping[str, float], note_markdown: str, files: Sequence[Path]
) -> str:
    """Write the sweep's summary run, or bring the one that is there up to date. Returns its run id.

    It is found by its tags sweep=<name> and stage=sweep. `note_markdown` is the description that MLflow shows at its top.
    Infinite metrics are left out. May wait for MLflow, and raises what MLflow raises.
    """
    experiment_id = prepare_store(uri, experiment)
    client = connect(uri)
    with FileLock(directory / ".tracking.lock", timeout=30):
        run_id = _find_or_create(client, experiment_id, sweep, directory)
        _update(client, run_id, metrics, {"mlflow.note.content": note(note_markdown)})
        for path in files:
            send_file(client, run_id, path)
        client.set_terminated(run_id, "FINISHED")
    return run_id


def note(markdown: str) -> str:
    """Markdown that fits a tag, without logins: cut at a line's end, with a word on where the rest is."""
    markdown = redact_text(markdown)
    if len(markdown) <= LONGEST_NOTE:
        return markdown
    return markdown[: LONGEST_NOTE - len(_REST)].rpartition("\n")[0] + _REST


def _find_or_create(client: MlflowClient, experiment_id: str, sweep: str, directory: Path) -> str:
    quote = '"' if "'" in sweep else "'"
    found = client.search_runs([experiment_id], f"tags.sweep = {quote}{sweep}{quote} and tags.stage = 'sweep'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {"sweep": sweep, "stage": "sweep", "rlhf.directory": str(directory.absolute()), "mlflow.source.name": "rlhf"}
    return str(client.create_run(experiment_id, tags=tags, run_name=f"sweep {sweep}").info.run_id)


def _update(client: MlflowClient, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
    """Only metrics that changed are written: a comparison made twice leaves one value."""
    from mlflow.entities import Metric, RunTag

    there, now = client.get_run(run_id).data.metrics, round(time.time() * 1000)
    values = {k: v for k, v in ((k, number(v)) for k, v in metrics.items()) if v is not None and abs(v) != float("inf")}
    new = [Metric(k, v, now, 0) for k, v in values.items() if k not in there or (there[k] != v and not (there[k] != there[k] and v != v))]
    client.log_batch(run_id, metrics=new, tags=[RunTag(k, v) for k, v in tags.items()], synchronous=True)
