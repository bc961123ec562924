"""Trackers that cannot work where they are to go, or beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.tracking import (
    MLflowTracker,
    NoTracker,
    Service,
    Several,
    trackers_of,
)

SECTIONS = ("tracking",)
# of stores; `file` is answered with the database to use in its place
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks", "file")


def faults(tracking: Any) -> Iterator[Fault]:
    if isinstance(tracking, Several):
        yield from _together(tracking)
    for key, part in trackers_of(tracking).items():
        if isinstance(part, MLflowTracker):
            yield from _mlflow(key, part)


def _together(several: Several) -> Iterator[Fault]:
    if not several.trackers:
        yield Fault(
            "tracking=several",
            "names no tracker; tracking=[mlflow,tensorboard] does, or tracking=none",
        )
    seen: dict[str, str] = {}
    for key, part in trackers_of(several).items():
        if isinstance(part, NoTracker):
            yield Fault(key, "none is no tracker beside others; leave it out")
        elif isinstance(part, Several):
            yield Fault(key, "several within several: name each tracker by itself")
        elif isinstance(part, Service):
            before = seen.setdefault(part.name, key)
            if before != key:
                yield Fault(key, f"is a second {part.name} beside {before}; one of each kind")


def _mlflow(key: str, tracking: MLflowTracker) -> Iterator[Fault]:
    """The address of a store; not repeated where it may hold a password."""
    from rlhf.tracking.addresses import absolute_uri
    from rlhf.tracking.store import LONGEST_NAME

    try:
        address = urlsplit(tracking.uri)
        _ = address.port
    except ValueError as error:
        yield Fault(f"{key}.uri", str(error))
        return
    scheme = address.scheme.partition("+")[0]
    if "://" in tracking.uri and scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES if name != "file")
        yield Fault(f"{key}.uri", f"MLflow knows no {scheme}://; it knows {known}")
        return
    try:
        absolute_uri(tracking.uri)
    except ValueError as error:
        yield Fault("", str(error))
        return
    length = len(tracking.experiment)
    if not tracking.experiment.strip():
        yield Fault(
            f"{key}.experiment={tracking.experiment!r}",
            "an experiment of MLflow needs a name; it is the study's if it is not set",
        )
    elif length > LONGEST_NAME:
        yield Fault(
            f"{key}.experiment={tracking.experiment[:20]}...",
            f"a name of {length} characters; MLflow takes at most {LONGEST_NAME}",
        )
