"""Folders that are whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rlhf.rundir.disk.space import writing
from rlhf.rundir.files import sync_directory

ASIDE = ".work"


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, of the same name, which is at `path` when all of it is on the disk: a
    reader, or a kill at any moment, sees nothing or all. One at a time beside each other: what a
    kill left half-filled is cleared.

    Raises:
        DiskError: the disk refuses it.
    """
    aside = path.parent / ASIDE
    with writing(path):
        shutil.rmtree(aside, ignore_errors=True)
        work = aside / path.name
        work.mkdir(parents=True)
        try:
            yield work
            for place in work.rglob("*"):
                _sync(place)
            sync_directory(work)
            work.rename(path)
            sync_directory(path.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _sync(place: Path) -> None:
    if place.is_dir():
        return sync_directory(place)
    with place.open("rb") as file:
        os.fsync(file.fileno())


def link(source: Path, target: Path) -> None:
    """Gives a file that nobody writes to a second name; a copy where the disk has no such names."""
    with suppress(OSError):
        return os.link(source, target)
    shutil.copy2(source, target)
