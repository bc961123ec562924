"""Directories: runs, sweeps, artifacts, and whatever else there is; names of runs and sweeps."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

RUN, SWEEP = "manifest.json", "sweep.json"
MOST = 500  # of a folder, and of names
ROOTS = ("outputs", "sweeps")
# as the inventory has it, which takes longer to import
DEEP = 5  # folders below a root
SWEEPS = {SWEEP, "launcher.json"}
RUNS = {"config.yaml", RUN, "status.json", "summary.json", "metrics.jsonl", "checkpoints"}
NO_RUNS = {"artifacts", "mlartifacts", "mlruns", "lost+found"}
POINTS = "points"  # of a path, below its run


def results(word: str) -> Iterator[tuple[str, str]]:
    """Sweeps and studies, and what lies below the folder that the word names."""
    if not word or "sweeps".startswith(word):
        yield from _named(Path("sweeps"))
    if not word or "outputs".startswith(word):
        yield from _named(Path("outputs"))
    for path in paths(word, files=False):
        yield path, _kind(Path(path))


def names(word: str, *, sweeps: bool) -> Iterator[tuple[str, str]]:
    """What runs under outputs/ and sweeps/ are called, and where they lie. A name that several have
    is none: a command would ask which is meant.

    Args:
        sweeps: those of sweeps, too.
    """
    seen = set[str]()
    every = [
        (name, f"{kind} in {above}")
        for root in ROOTS
        for name, kind, above in _results(root, DEEP, seen)
        if sweeps or kind != "sweep"
    ]
    count = Counter(name for name, _ in every)
    begun = [each for each in every if each[0].startswith(word) and count[each[0]] == 1]
    yield from sorted(begun)[:MOST]


def _results(folder: str, depth: int, seen: set[str]) -> Iterator[tuple[str, str, str]]:
    """Name, kind and the folder above of each run and sweep in a folder. Each is looked into once:
    with hundreds of runs every file that is opened counts."""
    try:
        with os.scandir(folder) as found:
            entries = {entry.name: entry for entry in found if not entry.name.startswith(".")}
    except OSError:
        return
    if (real := os.path.realpath(folder)) in seen:
        return
    seen.add(real)
    above, _, name = folder.rpartition("/")
    if above and RUNS & entries.keys() and not SWEEPS & entries.keys():
        yield name, "run", above
        if POINTS in entries:
            yield from _results(f"{folder}/{POINTS}", 1, seen)
        return
    is_sweep = bool(above and SWEEPS & entries.keys())
    if is_sweep:
        yield name, "sweep", above
    for each in sorted(entries) if depth else ():
        if each not in NO_RUNS and entries[each].is_dir():
            yield from _results(f"{folder}/{each}", 0 if is_sweep else depth - 1, seen)


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
