"""What a run that has ended says of itself, for services that take it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.metrics import MLFLOW_RESULTS
from rlhf.rundir.read import Lines, read_json, read_text
from rlhf.rundir.secrets.redact import redact_text, redacted_file
from rlhf.tracking.state import finite

FILES = ("config.yaml", "manifest.json", "summary.json", "data_report.json", "realign.json")


def results(directory: Path) -> dict[str, float]:
    """The results as `final/...` (standard errors stay in summary.json)."""
    return finite(
        {
            f"final/{key}": value
            for key, value in read_json(directory / "summary.json").items()
            if ("/" in key and not key.endswith("_se")) or key in MLFLOW_RESULTS
        }
    )


def failure(directory: Path) -> str | None:
    """Why the run failed, without secrets."""
    error = read_json(directory / "status.json").get("error")
    return redact_text(str(error))[:500] if error else None


def samples(directory: Path) -> tuple[list[str], list[list[Any]]]:
    """The columns and the rows of samples.jsonl, the last iteration first; a cell that a row lacks
    is None."""
    rows = [
        {key: value for key, value in row.items() if not key.startswith("token")}
        for row in Lines(directory / "samples.jsonl").read()
    ]
    rows.sort(key=lambda row: -row["iteration"])
    columns = list(dict.fromkeys(["prompt", "response", *(key for row in rows for key in row)]))
    return columns, [[row.get(key) for key in columns] for row in rows]


def texts(directory: Path) -> Iterator[tuple[str, str]]:
    """The files that there are, by name, without secrets."""
    for name in FILES:
        if (path := directory / name).is_file():
            content = redacted_file(path) or read_text(path)
            if content is not None:
                yield name, content
