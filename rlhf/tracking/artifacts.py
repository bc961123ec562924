"""A run's params, config, reports, samples and final numbers, sent to MLflow. Weights stay where
they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.rundir.read import Lines, read_json
from rlhf.rundir.redact import redact_text, redacted_file
from rlhf.tracking.state import finite

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FILES = ("manifest.json", "summary.json", "report.md", "frontier.png")
TABLE = "samples.json"
PER_REQUEST = 100  # params or tags
# of summary.json, beside everything with a `/`
RESULTS = ("objective", "kl.coef_final", "wall_seconds")


def send_params(client: MlflowClient, run: Run, state: dict[str, Any]) -> None:
    """Params can be written once. A value that a later start changes becomes the tag
    `resume.<n>.<key>`, n counting starts from 1."""
    from mlflow.entities import Param, RunTag

    there = run.data.params
    new = [Param(k, v) for k, v in state["params"].items() if k not in there]
    changed = [
        RunTag(f"resume.{state['starts'] - 1}.{k}", v)
        for k, v in state["params"].items()
        if k in there and there[k] != v
    ]
    for i in range(0, len(new), PER_REQUEST):
        client.log_batch(run.info.run_id, params=new[i : i + PER_REQUEST], synchronous=True)
    for i in range(0, len(changed), PER_REQUEST):
        client.log_batch(run.info.run_id, tags=changed[i : i + PER_REQUEST], synchronous=True)


def send_config(client: MlflowClient, run_id: str, directory: Path) -> None:
    """The whole resolved config: params may be cut, this is not."""
    send_file(client, run_id, directory / "config.yaml")


def send_files(client: MlflowClient, run_id: str, directory: Path) -> None:
    for name in FILES:
        send_file(client, run_id, directory / name)


def send_file(client: MlflowClient, run_id: str, path: Path) -> None:
    """Upload a file under its own name, in place of an earlier one; text without its secrets.
    Nothing if there is no file."""
    if not path.is_file():
        return
    clean = None if path.suffix == ".png" else redacted_file(path)
    if clean is None:
        client.log_artifact(run_id, str(path))
    else:
        client.log_text(run_id, clean, path.name)


def final_metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """The run's results as `final/...`, which MLflow draws as bars across runs. Standard errors
    stay in summary.json."""
    wanted = {
        f"final/{k}": v
        for k, v in summary.items()
        if ("/" in k and not k.endswith("_se")) or k in RESULTS
    }
    return finite(wanted)[0]


def send_summary(
    client: MlflowClient, run_id: str, directory: Path, *, step: int, timestamp: int
) -> None:
    """Sent again it changes nothing: same key, value, step and timestamp (ms) are one row to
    MLflow."""
    from mlflow.entities import Metric

    values = final_metrics(read_json(directory / "summary.json"))
    if values:
        client.log_batch(
            run_id,
            metrics=[Metric(k, v, timestamp, step) for k, v in values.items()],
            synchronous=True,
        )


def table(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows as MLflow's table file has them. A cell that a row lacks is null."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return {"columns": columns, "data": [[row.get(column) for column in columns] for row in rows]}


def send_samples(client: MlflowClient, run_id: str, directory: Path) -> None:
    """samples.jsonl as a table, the last iteration first. Of several runs MLflow shows the
    responses to a prompt side by side: it sets them by a table's first column and compares the
    second.

    Not `log_table`: that appends to a table that is there, and would show every sample twice after
    a resume.
    """
    rows = [
        {k: v for k, v in row.items() if not k.startswith("token")}
        for row in Lines(directory / "samples.jsonl").read()
    ]
    if rows:
        rows.sort(key=lambda row: -row["iteration"])
        client.log_dict(
            run_id, table({"prompt": None, "response": None} | row for row in rows), TABLE
        )
        client.set_tag(
            run_id, "mlflow.loggedArtifacts", json.dumps([{"path": TABLE, "type": "table"}])
        )


def send_datasets(client: MlflowClient, run_id: str, datasets: Sequence[Mapping[str, Any]]) -> None:
    """The rows that the run learns from, sent as its inputs: MLflow shows them in the run list and
    finds runs by them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    def entity(data: Mapping[str, Any]) -> Dataset:
        profile = json.dumps({"num_rows": data["rows"]})
        return Dataset(
            name=data["name"],
            digest=data["digest"][:16],
            source_type="rlhf",
            source=data["source"],
            profile=profile,
        )

    context = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(
        run_id, datasets=[DatasetInput(entity(data), tags=context) for data in datasets]
    )


def send_end_tags(client: MlflowClient, run_id: str, directory: Path) -> None:
    """Tags that are known at the end only: the code's revision, and why a run failed."""
    from mlflow.entities import RunTag

    manifest, status = read_json(directory / "manifest.json"), read_json(directory / "status.json")
    tags, git = {}, manifest.get("git") or {}
    if git.get("revision"):
        tags = {
            "mlflow.source.git.commit": git["revision"],
            "git.dirty": str(bool(git.get("dirty"))).lower(),
        }
    tags["error"] = status.get("error") or ""
    client.log_batch(
        run_id,
        tags=[RunTag(k, redact_text(str(v))[:500]) for k, v in tags.items() if v],
        synchronous=True,
    )
