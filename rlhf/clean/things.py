"""What could go, of which kind, and why it goes or stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rlhf.inventory import Disk

Kind = Literal["checkpoints", "artifacts", "work"]
KINDS: tuple[Kind, ...] = ("checkpoints", "artifacts", "work")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A file or folder that is ours.

    Args:
        lock: what has to be free while it goes: a run's directory, or an artifact's place in its
            store; None of what a process that is gone alone knew of.
    """

    kind: Kind
    path: Path
    goes: bool
    why: str
    disk: Disk
    lock: Path | None = None
    in_store: bool = False  # an artifact, or beside one
    changed: float | None = None  # unix seconds of its last use


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What of all that could go is wished to go.

    Args:
        roots: where it has to lie.
        before: last used before this moment, in unix seconds.
    """

    roots: Sequence[Path]
    kinds: Sequence[Kind] = KINDS
    before: float | None = None

    def of(self, things: Iterable[Thing]) -> list[Thing]:
        """The things of these kinds in these places; those that are too young, or are only reached
        by a link, stay."""
        return [
            self._judged(thing)
            for thing in things
            if thing.kind in self.kinds and self._root(thing.path) is not None
        ]

    def _judged(self, thing: Thing) -> Thing:
        if not thing.goes:
            return thing
        if self._is_linked(thing.path):
            return replace(thing, goes=False, why="it is reached by a symbolic link")
        young = self.before is not None and (thing.changed is None or thing.changed > self.before)
        return replace(thing, goes=False, why="it is not old enough") if young else thing

    def _root(self, path: Path) -> Path | None:
        own = path.absolute()
        inside = (root for root in self.roots if own.is_relative_to(root.absolute()))
        return min(inside, key=lambda root: len(root.absolute().parts), default=None)

    def _is_linked(self, path: Path) -> bool:
        """Whether the path, or a folder on the way to it from its root, is a symbolic link."""
        root = self._root(path)
        assert root is not None
        own, top = path.absolute(), root.absolute()
        way = [own, *own.parents]
        return any(place.is_symlink() for place in way[: way.index(top)])
