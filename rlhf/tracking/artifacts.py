"""A run's params, config, reports, samples and final numbers, sent to MLflow. Weights stay where
they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.metrics import MLFLOW_RESULTS
from rlhf.rundir.read import Lines, read_json
from rlhf.rundir.secrets.redact import redact_text, redacted_file
from rlhf.tracking.state import finite, lost, read_own
from rlhf.tracking.store import Client, StoredRun, connect

FILES = (
    *("manifest.json", "summary.json", "data_report.json", "realign.json"),
    *("report.md", "frontier.png"),
)
TABLE = "samples.json"
PER_REQUEST = 100  # params or tags


def send_params(client: Client, run: StoredRun, state: dict[str, Any]) -> None:
    """Params can be written once. A value that a later start changes becomes the tag
    `resume.<n>.<key>`, n counting starts from 1."""
    from mlflow.entities import Param, RunTag

    there = run.data.params
    new = [Param(k, v) for k, v in state["params"].items() if k not in there]
    changed = [
        RunTag(f"resume.{state['starts'] - 1}.{k}", v)
        for k, v in state["params"].items()
        if there.get(k, v) != v
    ]
    for i in range(0, max(len(new), len(changed)), PER_REQUEST):
        part = slice(i, i + PER_REQUEST)
        client.log_batch(run.info.run_id, params=new[part], tags=changed[part], synchronous=True)


def send_file(client: Client, run_id: str, path: Path) -> None:
    """Upload a file under its own name, in place of an earlier one; text without its secrets.
    Nothing if there is no file."""
    if path.is_file():
        clean = None if path.suffix == ".png" else redacted_file(path)
        if clean is None:
            client.log_artifact(run_id, str(path))
        else:
            client.log_text(run_id, clean, path.name)


def send_end(client: Client, run_id: str, directory: Path, *, step: int, timestamp: int) -> None:
    """The run's results as `final/...`, which MLflow draws as bars across runs (standard errors
    stay in summary.json), and the tags that are known at the end only: the code's revision, and
    why a run failed.

    Sent again it changes nothing: same key, value, step and timestamp (ms) are one row to MLflow.
    """
    from mlflow.entities import Metric, RunTag

    summary, manifest, status = (
        read_json(directory / f"{name}.json") for name in ("summary", "manifest", "status")
    )
    results = {
        f"final/{k}": v
        for k, v in summary.items()
        if ("/" in k and not k.endswith("_se")) or k in MLFLOW_RESULTS
    }
    git = manifest.get("git") or {}
    tags = {
        "mlflow.source.git.commit": git.get("revision"),
        "git.dirty": git.get("revision") and str(bool(git.get("dirty"))).lower(),
        "error": status.get("error"),
    }
    client.log_batch(
        run_id,
        metrics=[Metric(k, v, timestamp, step) for k, v in finite(results).items()],
        tags=[RunTag(k, redact_text(str(v))[:500]) for k, v in tags.items() if v],
        synchronous=True,
    )


def send_samples(client: Client, run_id: str, directory: Path) -> None:
    """samples.jsonl as a table, the last iteration first; a cell that a row lacks is null. Of
    several runs MLflow shows the responses to a prompt side by side: it sets them by a table's
    first column and compares the second.

    Not `log_table`: that appends to a table that is there, and would show every sample twice after
    a resume.
    """
    rows = [
        {k: v for k, v in row.items() if not k.startswith("token")}
        for row in Lines(directory / "samples.jsonl").read()
    ]
    if rows:
        rows.sort(key=lambda row: -row["iteration"])
        columns = list(dict.fromkeys(["prompt", "response", *(key for row in rows for key in row)]))
        table = {"columns": columns, "data": [[row.get(key) for key in columns] for row in rows]}
        client.log_dict(run_id, table, TABLE)
        client.set_tag(
            run_id, "mlflow.loggedArtifacts", json.dumps([{"path": TABLE, "type": "table"}])
        )


def send_datasets(client: Client, run_id: str, datasets: Sequence[Mapping[str, Any]]) -> None:
    """The rows that the run learns from, sent as its inputs: MLflow shows them in the run list and
    finds runs by them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client.log_inputs(
        run_id,
        datasets=[
            DatasetInput(
                Dataset(
                    name=data["name"],
                    digest=data["digest"][:16],
                    source_type="rlhf",
                    source=data["source"],
                    profile=json.dumps({"num_rows": data["rows"]}),
                ),
                tags=[InputTag("mlflow.data.context", "training")],
            )
            for data in datasets
        ],
    )


def send_later(directory: Path, name: str) -> str | None:
    """Sends a file that a run got after its end, where MLflow has taken all else of it; what it has
    not is delivered with the rest. Returns a sentence where that is not possible now."""
    state = read_own(directory)
    if not state.get("closed") or lost(state):
        return None
    try:
        send_file(connect(state["uri"]), state["run_id"], directory / name)
    except Exception as error:  # of any library below
        return (
            f"MLflow at {redact_text(state['uri'])} did not take {directory / name}:"
            f" {redact_text(str(error) or type(error).__name__).splitlines()[0][:200]}"
        )
    return None
