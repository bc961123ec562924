"""Who needs whom: the artifacts that a run or another artifact stands on, and the folders that its
config names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlhf.inventory.entries import ArtifactEntry, Inventory, Key, RunEntry, SweepEntry
from rlhf.models.files.adapter import BACKBONE, CONFIG
from rlhf.rundir.read import read_object

# settings that can name a folder of a run or an artifact
PATHS = (("model", "path"), ("sft", "path"), ("reward_model", "path"))
# what is measured once for several runs -> the setting that asks for it. A run's manifest does not
# name these artifacts: those count that were made of what it was made of.
MEASURED = {"best_of_n": ("best_of_n", "samples"), "win_rate_baseline": ("evaluation", "win_rate")}


def named_paths(config: Mapping[str, Any]) -> list[str]:
    """The folders that a nested config begins from."""
    values = (_at(config, path) for path in PATHS)
    return [value for value in values if isinstance(value, str) and value]


def base_of(folder: Path, files: Collection[str], before: str = "") -> list[str]:
    """The network that the adapter in a folder stands beside, as it is named; of a whole model
    none."""
    names = [name for name in (BACKBONE, CONFIG) if before + name in files]
    values = ((read_object(folder / name) or {}).get("base_model_name_or_path") for name in names)
    return [value for value in dict.fromkeys(values) if isinstance(value, str) and value]


def _at(config: Mapping[str, Any], path: Sequence[str]) -> Any:
    section = config.get(path[0])
    return section.get(path[1]) if isinstance(section, Mapping) else None


def with_users(inventory: Inventory) -> Inventory:
    """The same, each run and artifact with those that need it."""
    users: dict[Path, dict[Path, None]] = {}
    finder = _Finder(inventory)
    runs = [r for run in inventory.every_run() for r in (*run.points, run)]
    entries: list[RunEntry | ArtifactEntry] = [*runs, *inventory.artifacts]
    for entry in entries:
        for place in finder.needs(entry):
            if place != entry.directory:
                users.setdefault(place, {})[entry.directory] = None

    def known(place: Path) -> tuple[Path, ...]:
        return tuple(users.get(place, ()))

    def of_run(run: RunEntry) -> RunEntry:
        points = tuple(map(of_run, run.points))
        return replace(run, points=points, used_by=known(run.directory))

    def of_sweep(sweep: SweepEntry) -> SweepEntry:
        return replace(sweep, jobs=tuple(map(of_run, sweep.jobs)))

    return replace(
        inventory,
        runs=tuple(map(of_run, inventory.runs)),
        sweeps=tuple(map(of_sweep, inventory.sweeps)),
        artifacts=tuple(replace(a, used_by=known(a.directory)) for a in inventory.artifacts),
    )


class _Finder:
    """The directories that an entry needs. An artifact that lies in several stores is needed in
    each of them."""

    def __init__(self, inventory: Inventory) -> None:
        self.stored: dict[Key, list[Path]] = {}
        self.measured: list[ArtifactEntry] = []
        self.places: dict[Path, Path] = {}
        for artifact in inventory.artifacts:
            self.stored.setdefault(artifact.key, []).append(artifact.directory)
            self.places[artifact.directory.resolve()] = artifact.directory
            if artifact.key.stage in MEASURED:
                self.measured.append(artifact)
        for run in inventory.every_run():
            for each in (*run.points, run):
                self.places[each.directory.resolve()] = each.directory

    def needs(self, entry: RunEntry | ArtifactEntry) -> Iterator[Path]:
        keys = list(entry.parents)
        if isinstance(entry, RunEntry):
            keys += [entry.made] if entry.made else []
            yield from self._measured_for(entry)
        for key in keys:
            yield from self.stored.get(key, ())
        for named in entry.reads:
            yield from self._at(named, entry.directory)

    def _measured_for(self, run: RunEntry) -> Iterator[Path]:
        config, prints = run.manifest.get("config"), run.manifest.get("fingerprints", {})
        for artifact in self.measured:
            asked = _at(config, MEASURED[artifact.key.stage]) if isinstance(config, dict) else None
            made_of = artifact.manifest.get("fingerprints", {})
            if asked and all(prints.get(name) == own for name, own in made_of.items()):
                yield artifact.directory

    def _at(self, named: str, directory: Path) -> Iterator[Path]:
        """The run or artifact that a path lies in, which may start from where a run was made: from
        here, or from a folder above it. A folder that moved is looked for by stage and
        fingerprint."""
        path = Path(named)
        bases = (Path(), *directory.absolute().parents) if not path.is_absolute() else (Path(),)
        there = next((base / path for base in bases if (base / path).exists()), None)
        if there is None:
            yield from self.stored.get(Key(path.parent.name, path.name), ())
            return
        resolved = there.resolve()
        for place in (resolved, *resolved.parents):
            if place in self.places:
                yield self.places[place]
                return
