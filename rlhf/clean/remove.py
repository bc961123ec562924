"""The removal of what goes: asked for once more under the locks that runs and stages take, renamed
aside, then removed. A kill at any moment leaves it as it was, or out of the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rlhf.clean import rundirs
from rlhf.clean.things import Thing
from rlhf.inventory.runs import read_run
from rlhf.rundir.disk.aside import aside_of, strays
from rlhf.rundir.disk.space import sentence
from rlhf.rundir.disk.uses import alone, forget
from rlhf.rundir.files import sync_directory

Again = Callable[[], Iterable[Thing]]  # a second look at everything
AT_ONCE = 64  # places whose locks are held at a time
BUSY = "a process is at work in it now"
OTHER = "it is needed now, or another than it was"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`left`: why it is still there, or a part of it; empty where it is gone."""

    thing: Thing
    left: str = ""


def remove(things: Sequence[Thing], again: Again) -> Iterator[Outcome]:
    """Removes what goes of them, one after the other, and says of each what became of it."""
    going = [thing for thing in things if thing.goes]
    for thing in (each for each in going if each.lock is None):
        still = thing.path in strays(thing.path.parent)
        yield _gone(thing, thing.path) if still else Outcome(thing=thing, left=OTHER)
    for thing in (each for each in going if each.lock is not None and not each.in_store):
        yield _of_run(thing)
    for some in _batches([each for each in going if each.in_store]):
        yield from _of_stores(some, again)


def _batches(things: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    yield from (things[start : start + AT_ONCE] for start in range(0, len(things), AT_ONCE))


def _of_run(thing: Thing) -> Outcome:
    """Under the run's lock, which its process holds from its first moment to its last."""
    assert thing.lock is not None
    try:
        with FileLock(thing.lock / ".lock").acquire(timeout=0):
            now = {each.path: each.goes for each in rundirs.things_of(read_run(thing.lock))}
            if not now.get(thing.path):
                return Outcome(thing=thing, left=OTHER)
            aside = _set_aside(thing.path)
    except Timeout:
        return Outcome(thing=thing, left=BUSY)
    except OSError as error:
        return Outcome(thing=thing, left=_reason(error, thing.path))
    return _gone(thing, aside)


def _of_stores(things: Sequence[Thing], again: Again) -> Iterator[Outcome]:
    """Under the makers' locks and alone with each: who needs one of them from now on waits for a
    moment, and then makes it again."""
    asides: dict[Path, Path] = {}
    lefts: dict[Path, str] = {}
    with ExitStack() as locks:
        held = dict[Path, str]()
        for place in dict.fromkeys(thing.lock for thing in things):
            assert place is not None
            held[place] = locks.enter_context(_alone_with(place))
        now: Mapping[Path, bool] = {each.path: each.goes for each in again()}
        for thing in things:
            assert thing.lock is not None
            lefts[thing.path] = held[thing.lock] or ("" if now.get(thing.path) else OTHER)
            if lefts[thing.path]:
                continue
            try:
                asides[thing.path] = _set_aside(thing.path)
                if thing.path == thing.lock:
                    forget(thing.path)
            except OSError as error:
                lefts[thing.path] = _reason(error, thing.path)
    for thing in things:
        if left := lefts[thing.path]:
            yield Outcome(thing=thing, left=left)
        else:
            yield _gone(thing, asides[thing.path])


@contextmanager
def _alone_with(place: Path) -> Iterator[str]:
    """Why an artifact's place cannot be had alone; empty where it is."""
    with ExitStack() as locks:
        try:
            locks.enter_context(FileLock(place.with_name(f"{place.name}.lock")).acquire(timeout=0))
            left = "" if locks.enter_context(alone(place)) else BUSY
        except Timeout:
            left = BUSY
        except OSError as error:
            left = _reason(error, place)
        yield left


def _set_aside(path: Path) -> Path:
    """Renames it as a half-written file is called: out of the way of whoever looks for it, and
    cleared by the next command where this one is killed."""
    aside = aside_of(path)
    path.rename(aside)
    with suppress(OSError):  # another clean would take one of long ago for a stray
        os.utime(aside, follow_symlinks=False)
    sync_directory(path.parent)
    return aside


def _gone(thing: Thing, place: Path) -> Outcome:
    try:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    except OSError as error:
        return Outcome(thing=thing, left=_reason(error, place))
    return Outcome(thing=thing)


def _reason(error: OSError, path: Path) -> str:
    return sentence(error, path) or str(error)
