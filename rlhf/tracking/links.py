"""Addresses in MLflow's web page. It is one page: what comes after `#` says which part of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from rlhf.tracking.redact import redact_text

LOCAL = "http://127.0.0.1:5000/"
MODE = "workflowType=machine_learning"


def page(uri: str) -> str:
    """Where the page is served: the server itself, or where `ui_command` serves a database."""
    return redact_text(uri).rstrip("/") + "/" if uri.startswith("http") else LOCAL


def ui_command(uri: str) -> str | None:
    """The command that serves a database on this computer only; None where a server already does.

    One worker: each takes about 235 MB and one is enough for one reader.
    """
    if uri.startswith("http") or uri == "databricks":
        return None
    return f"mlflow ui --backend-store-uri {redact_text(uri)} --workers 1"


def experiment_link(uri: str, experiment_id: str) -> str:
    return f"{page(uri)}#/experiments/{experiment_id}?{MODE}"


def run_link(uri: str, experiment_id: str, run_id: str) -> str:
    return f"{page(uri)}#/experiments/{experiment_id}/runs/{run_id}?{MODE}"


def compare_link(uri: str, experiment_ids: Sequence[str], run_ids: Sequence[str]) -> str:
    """The page that sets runs side by side: parallel coordinates, scatter, box and contour plots, and a table."""
    runs, experiments = (quote(json.dumps(list(ids), separators=(",", ":"))) for ids in (run_ids, experiment_ids))
    return f"{page(uri)}#/compare-runs?runs={runs}&experiments={experiments}&{MODE}"


def directory_links(directory: Path) -> dict[str, str]:
    """Of a run's directory: the command that serves its store and its page there. {} if it was never tracked."""
    try:
        state = json.loads((directory / "tracking.json").read_text())
        uri, run = state["uri"], run_link(state["uri"], state["experiment_id"], state["run_id"])
    except (OSError, ValueError, KeyError):
        return {}
    command = ui_command(uri)
    return {**({"mlflow": command} if command else {}), "run": run}
