"""Reads a sweep's directory. Knows the files of a run, not the program that wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rlhf.config.naming import named_flat
from rlhf.rundir.read import Lines, read_json
from rlhf.rundir.redact import redact_text
from rlhf.rundir.status import SweepLauncher, read_launcher, run_state

MARKS = ("config.yaml", "manifest.json", "status.json", "summary.json")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One job of a sweep, whatever became of it."""

    name: str
    directory: Path
    status: str  # one of the words of rlhf.rundir.status
    config: dict[str, Any]  # dotted keys
    summary: dict[str, Any]  # empty unless finished
    metrics: tuple[dict[str, Any], ...]  # one row an iteration
    error: str | None  # without logins
    overrides: tuple[str, ...]

    @property
    def log(self) -> Path:
        return self.directory / "log.txt"

    @property
    def finished(self) -> bool:
        return self.status == "finished"


def load(directory: Path) -> list[Run]:
    """Every run in a sweep's directory, and the jobs of sweep.json that never began, by name."""
    jobs = {
        str(job["name"]): tuple(map(str, job.get("overrides", ())))
        for job in read_json(directory / "sweep.json").get("jobs", ())
    }
    found = {
        path.name
        for path in directory.iterdir()
        if path.is_dir() and any((path / mark).is_file() for mark in MARKS)
    }
    launcher = read_launcher(directory)
    return [
        load_run(directory / name, jobs.get(name, ()), launcher)
        for name in sorted(found | jobs.keys())
    ]


def load_run(
    directory: Path, overrides: tuple[str, ...] = (), launcher: SweepLauncher | None = None
) -> Run:
    summary, status = read_json(directory / "summary.json"), read_json(directory / "status.json")
    state = run_state(directory, launcher).state
    return Run(
        name=directory.name,
        directory=directory,
        status=state,
        config=_config(directory / "config.yaml"),
        summary=summary if state == "finished" else {},
        metrics=tuple(Lines(directory / "metrics.jsonl").read()),
        error=redact_text(str(status["error"])) if status.get("error") else None,
        overrides=overrides,
    )


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"kl": {"coef": 1}} -> {"kl.coef": 1}. Lists and empty mappings are values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _config(path: Path) -> dict[str, Any]:
    yaml: Any = import_module("yaml")  # it carries no types
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return named_flat(flatten(tree)) if isinstance(tree, Mapping) else {}
