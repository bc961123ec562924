"""Every service that a run can be tracked in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rlhf.tracking.mlflow import MLflowSink
from rlhf.tracking.services.tensorboard import TensorBoardSink
from rlhf.tracking.services.trackio import TrackioSink
from rlhf.tracking.services.wandb import WandbSink
from rlhf.tracking.spool.sink import Sink
from rlhf.tracking.state import read_own

SINKS: tuple[type[Sink], ...] = (MLflowSink, TensorBoardSink, WandbSink, TrackioSink)


def other_links(directory: Path) -> dict[str, str]:
    """Of a run's directory: how to see it in the services other than MLflow, a command or an
    address each."""
    others = [kind for kind in SINKS if kind is not MLflowSink]
    states = {_name(kind): read_own(directory, kind.file) for kind in others}
    return {name: state["link"] for name, state in states.items() if state.get("link")}


def without(directory: Path, services: Iterable[str]) -> list[str]:
    """Those of these services, by their names in the config, that a run was never tracked in."""
    files = {_name(kind): kind.file for kind in SINKS}
    return [name for name in services if name in files and not (directory / files[name]).exists()]


def _name(kind: type[Sink]) -> str:
    return "mlflow" if kind is MLflowSink else kind.file.split(".")[1]


def links_of(directories: Iterable[Path]) -> dict[str, str]:
    """The same for many runs: what shows them together."""
    found: dict[str, dict[str, None]] = {}
    for directory in directories:
        for service, link in other_links(directory).items():
            found.setdefault(service, {})[link] = None
    return {service: _together([*links]) for service, links in found.items()}


def _together(links: list[str]) -> str:
    """The one link of all; of runs of W&B that have one each, their folder or their project."""
    if len(links) == 1:
        return links[0]
    folder, mark, _ = links[0].partition("/offline-run-")
    return f"{folder}{mark}*" if mark else links[0].partition("/runs/")[0]
