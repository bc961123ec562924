"""What a word of the command line names: a folder, a name or the beginning of one, a hash, a
fingerprint, an MLflow run. Of every subcommand that takes a run or a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf.config.messages import nearest
from rlhf.inventory import ArtifactEntry, Inventory, RunEntry, SweepEntry, take_inventory
from rlhf.inventory.walk import OUTPUTS, SWEEPS, folders
from rlhf.rundir.words import few
from rlhf.tracking.addresses import default_uri
from rlhf.tracking.lookup import RUN_ID, run_directory

Named = RunEntry | SweepEntry | ArtifactEntry
MOST = 6  # candidates that are listed


class NotFound(ValueError):
    """There is no such thing, or several. The message says which there are."""


class Ambiguous(NotFound):
    """There are several."""


@dataclass(frozen=True)
class Target:
    entry: Named
    inventory: Inventory  # that it lies in


def place_of(word: str, *kinds: type[Named]) -> str:
    """The folder that a word names. A word that is one already, or names nothing, comes back as it
    is: the subcommand says what it takes, and what is near.

    Args:
        kinds: what the subcommand takes, where a name is that of several things.

    Raises:
        Ambiguous: more than one is called so.
    """
    if Path(word).exists():
        return word
    try:
        return str(find(word, default_uri(), kinds).entry.directory)
    except Ambiguous:
        raise
    except NotFound:
        return word


def sweeps_of(words: Iterable[Path]) -> list[Path]:
    """The folders that words name of which a sweep is meant where there is one, else a run. Raises
    Ambiguous."""
    return [Path(place_of(str(word), SweepEntry)) for word in words]


def find(word: str, uri: str, kinds: Sequence[type[Named]] = ()) -> Target:
    """Of a folder what lies there; else what is called so under outputs/ and sweeps/.

    Args:
        uri: the MLflow store that run ids are looked up in.
        kinds: what is meant where a name is that of several things; of any kind by default.

    Raises:
        NotFound: nothing is.
        Ambiguous: more than one is.
    """
    place = Path(word)
    if place.is_dir():
        return _at(place)
    if place.exists():
        raise NotFound(f"{word} is a file: name its run's folder, such as {place.parent}")
    inventory = take_inventory()
    named = {entry.directory: name for entry in _every(inventory) for name in names(entry)}
    for fits in (_is, _begins):
        every = [e for e in _every(inventory) if any(fits(n, word) for n in names(e))]
        matches = [entry for entry in every if isinstance(entry, tuple(kinds))] or every
        if len(matches) == 1:
            return Target(matches[0], inventory)
        if matches:
            places = sorted(str(entry.directory) for entry in matches)
            listed = "\n  ".join([*places[:MOST], *["..."] * (len(places) > MOST)])
            raise Ambiguous(f"{word} may be {len(places)} things; name one:\n  {listed}")
    if RUN_ID.fullmatch(word):
        try:
            return _at(run_directory(uri, word))
        except LookupError as error:
            raise NotFound(str(error)) from None
    meant = nearest(word, [name for entry in _every(inventory) for name in names(entry)])
    hint = f"; did you mean {meant}?" if meant else ""
    there = few(sorted({Path(p).name for p in named}), 4) or "nothing yet"
    raise NotFound(
        f"nothing under {OUTPUTS}/ and {SWEEPS}/ is called {word}{hint}"
        + ("" if meant else f" (there: {there}; `rlhf list` shows all)")
    )


def folder_meant(word: str) -> str:
    """What to say, after a word that is no folder, where folders alone are taken: that of the run,
    sweep or artifact that is called so, or of what is called much the same. "" where nothing is."""
    inventory = take_inventory()
    every = [*_every(inventory)]
    for fits in (_is, _begins):
        places = [str(e.directory) for e in every if any(fits(n, word) for n in names(e))]
        if len(places) == 1:
            return f"; did you mean {places[0]}?"
        if places:
            return f"; did you mean one of {few(sorted(places), MOST)}?"
    near = [place for above in (Path(word).parent, OUTPUTS, SWEEPS) for place in folders(above)]
    called = {place.name: place for place in (*near, *(entry.directory for entry in every))}
    meant = nearest(Path(word).name, called)
    return f"; did you mean {called[meant]}?" if meant else ""


def names(entry: Named) -> Sequence[str]:
    """What an entry is called: its name, its hash or fingerprint, its place."""
    if isinstance(entry, ArtifactEntry):
        return entry.key.fingerprint, entry.name, str(entry.directory)
    if isinstance(entry, SweepEntry):
        return entry.name, str(entry.directory)
    return entry.name, str(entry.manifest.get("hash") or ""), str(entry.directory)


def _is(name: str, word: str) -> bool:
    return name == word


def _begins(name: str, word: str) -> bool:
    return bool(name) and name.startswith(word)


def _every(inventory: Inventory) -> Iterator[Named]:
    yield from inventory.sweeps
    for run in inventory.every_run():
        yield from (run, *run.points)
    yield from inventory.artifacts


def _at(place: Path) -> Target:
    """Users of it may lie anywhere: who needs an artifact is asked of all that there is."""
    if place.name == "policy" and (place.parent / "manifest.json").is_file():
        place = place.parent
    everything = take_inventory(place, OUTPUTS, SWEEPS)
    own = place.resolve()
    found = next((e for e in _every(everything) if e.directory.resolve() == own), None)
    if found is not None:
        return Target(found, everything)
    below = [str(e.directory) for e in _every(everything) if own in e.directory.resolve().parents]
    inside = f": it holds {few(sorted(below), 3)}" if below else ""
    raise NotFound(f"{place} is no run, sweep or artifact{inside}")
