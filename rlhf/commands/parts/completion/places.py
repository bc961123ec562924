"""Directories: runs, sweeps, artifacts, and whatever else there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

RUN, SWEEP = "manifest.json", "sweep.json"
MOST = 500  # of a folder


def results(word: str) -> Iterator[tuple[str, str]]:
    """Sweeps and studies, and what lies below the folder that the word names."""
    if not word or "sweeps".startswith(word):
        yield from _named(Path("sweeps"))
    if not word or "outputs".startswith(word):
        yield from _named(Path("outputs"))
    for path in paths(word, files=False):
        yield path, _kind(Path(path))


def _named(folder: Path) -> Iterator[tuple[str, str]]:
    for path in paths(f"{folder}/", files=False):
        yield path, _kind(Path(path))


def _kind(path: Path) -> str:
    if (path / RUN).is_file():
        return "run"
    return "sweep" if (path / SWEEP).is_file() else ""


def paths(word: str, *, files: bool) -> Iterator[str]:
    """What begins with a word, folders with a / at the end. Hidden ones where the word asks."""
    above, _, begun = word.rpartition("/")
    folder = f"{above}/" if "/" in word else ""
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as found:
            entries = sorted(found, key=lambda entry: entry.name)[:MOST]
    except OSError:
        return
    for entry in entries:
        hidden = entry.name.startswith(".") and not begun.startswith(".")
        if entry.name.startswith(begun) and not hidden and (files or entry.is_dir()):
            yield f"{folder}{entry.name}{'/' if entry.is_dir() else ''}"
