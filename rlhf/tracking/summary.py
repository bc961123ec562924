"""The one MLflow run that speaks for a whole sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from rlhf.rundir.secrets.redact import redact_text
from rlhf.tracking.artifacts import send_file
from rlhf.tracking.links import NOTE_TAG, with_tags
from rlhf.tracking.lookup import DIRECTORY_TAG
from rlhf.tracking.state import finite, home, now, read_own, write_state
from rlhf.tracking.store import Client, connect, prepare_store

LONGEST_NOTE = 8000  # characters of a tag; MLflow cuts what is longer
PICTURES = "description"  # the artifacts' folder
_REST = "\n\n(The rest is in report.md, among this run's artifacts.)"


def log_sweep_summary(
    uri: str,
    experiment: str,
    *,
    sweep: str,
    directory: Path,
    metrics: Mapping[str, float],
    note_markdown: str,
    files: Sequence[Path],
    pictures: Sequence[Path] = (),
) -> str:
    """Write the sweep's summary run, or bring the one that is there up to date. Returns its run id.

    It is found by the sweep's tracking.json, or by its tags. Infinite metrics are left out. May
    wait for MLflow, and raises what MLflow raises.

    Args:
        note_markdown: the description that MLflow shows at its top.
        pictures: those of the description by name, small enough: it shows a picture at its own
            size. Others are left out of it.
    """
    experiment_id = prepare_store(uri, experiment)
    client = connect(uri)
    with sweep_lock(directory):
        run_id = summary_run(client, experiment_id, sweep, directory)
        for path in pictures:
            client.log_artifact(run_id, str(path), PICTURES)
        shown = linked(
            note_markdown,
            run_id,
            pictures=[path.name for path in pictures],
            files=[path.name for path in files],
        )
        _update(client, run_id, metrics, note(shown))
        for path in files:
            send_file(client, run_id, path)
        client.set_terminated(run_id, "FINISHED")
    return run_id


def sweep_lock(directory: Path) -> FileLock:
    """The lock of the sweep's directory: jobs and comparisons that look for the one summary run go
    in turn."""
    return FileLock(directory / ".tracking.lock", timeout=30)


def summary_run(client: Client, experiment_id: str, sweep: str, directory: Path) -> str:
    """The id of the sweep's summary run; made if nobody has made it yet. Call under
    `sweep_lock`.

    It is this directory's own: another of the same name, or a copy, has another.
    """
    place = str(directory.absolute())
    run_id = read_own(directory).get("run_id")
    if run_id is not None and _is_there(client, experiment_id, run_id):
        client.set_tag(run_id, DIRECTORY_TAG, place)  # it may have been moved
    else:
        tags = {"sweep": sweep, "stage": "sweep"}
        runs = client.search_runs([experiment_id], with_tags(tags))
        own = [run for run in runs if run.data.tags.get(DIRECTORY_TAG) == place]
        tags |= {DIRECTORY_TAG: place, "mlflow.source.name": "rlhf"}
        run = next(iter(own), None) or client.create_run(
            experiment_id, tags=tags, run_name=f"sweep {sweep}"
        )
        run_id = run.info.run_id
    write_state(directory, {"home": home(directory), "run_id": run_id})
    return str(run_id)


def _is_there(client: Client, experiment_id: str, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return info.experiment_id == experiment_id and info.lifecycle_stage == "active"


def linked(markdown: str, run_id: str, *, pictures: Sequence[str], files: Sequence[str]) -> str:
    """The markdown with its pictures and files where MLflow's page finds them: beside the page,
    as artifacts of the run."""

    def placed(match: re.Match[str]) -> str:
        mark, text, name = match.groups()
        if name not in (pictures if mark else files):
            return "" if mark else text
        place = f"{PICTURES}/{quote(name)}" if mark else quote(name)
        return f"{mark}[{text}](get-artifact?path={place}&run_uuid={run_id})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)]*)\)", placed, markdown)


def note(markdown: str) -> str:
    """Markdown that fits a tag, without logins: cut at a line's end, with a word on where the
    rest is."""
    markdown = redact_text(markdown)
    if len(markdown) <= LONGEST_NOTE:
        return markdown
    return markdown[: LONGEST_NOTE - len(_REST)].rpartition("\n")[0] + _REST


def _update(client: Client, run_id: str, metrics: Mapping[str, float], text: str) -> None:
    """Only metrics that changed are written: a comparison made twice leaves one value."""
    from mlflow.entities import Metric, RunTag

    there = client.get_run(run_id).data.metrics
    new = [
        Metric(k, v, now(), 0)
        for k, v in finite(metrics).items()
        if k not in there or (there[k] != v and not (there[k] != there[k] and v != v))
    ]
    client.log_batch(run_id, metrics=new, tags=[RunTag(NOTE_TAG, text)], synchronous=True)
