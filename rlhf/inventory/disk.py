"""Bytes on disk. A file with several names counts once: the weights of a run's policy are those of
its artifact (hard links)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Files = Mapping[str, os.stat_result]  # path below a folder, with `/` -> what the disk says of it


@dataclass(frozen=True, kw_only=True)
class Linked:
    """A file that has several names, in this place or elsewhere."""

    inode: tuple[int, int]  # the device, and the number there
    bytes: int
    names: int  # in this place
    links: int  # in all


@dataclass(frozen=True, kw_only=True)
class Disk:
    """What a place takes on its disk, as `du` counts it."""

    own: int = 0  # bytes of folders and of files with one name
    linked: tuple[Linked, ...] = ()

    @property
    def bytes(self) -> int:
        return self.own + sum(file.bytes for file in self.linked)


def scan(folder: Path) -> dict[str, os.stat_result]:
    """All that lies in a folder, itself as `.` included; links are not followed. What goes while
    it looks, or cannot be read, is left out."""
    there: dict[str, os.stat_result] = {}
    try:
        there["."] = folder.lstat()
    except OSError:
        return there
    waiting = [("", os.fspath(folder))]
    while waiting:
        before, path = waiting.pop()
        for entry in _entries(path):
            try:
                there[name := before + entry.name] = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{name}/", entry.path))
            except OSError:
                continue
    return there


def _entries(path: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError:
        return


def disk_of(files: Files, counts: Callable[[str], bool] = lambda _: True) -> Disk:
    """What those of a folder's files take whose name below it `counts`."""
    own, linked = 0, dict[tuple[int, int], Linked]()
    for name, stat in files.items():
        if not counts(name):
            continue
        size = _size(stat)
        if stat.st_nlink < 2 or _is_folder(stat):
            own += size
            continue
        key = (stat.st_dev, stat.st_ino)
        names = linked[key].names + 1 if key in linked else 1
        linked[key] = Linked(inode=key, bytes=size, names=names, links=stat.st_nlink)
    return Disk(own=own, linked=tuple(linked.values()))


def under(folder: str) -> Callable[[str], bool]:
    """For `disk_of`: true of a folder and of what lies below it."""
    return lambda name: name == folder or name.startswith(f"{folder}/")


def newest(files: Files) -> float | None:
    """When a file of a folder was last written, in seconds; None of an empty one."""
    times = [stat.st_mtime for stat in files.values() if not _is_folder(stat)]
    return max(times, default=None)


def total(places: Iterable[Disk]) -> int:
    """The bytes of places that do not lie in each other, each file once."""
    own, linked = 0, dict[tuple[int, int], int]()
    for disk in places:
        own += disk.own
        linked |= {file.inode: file.bytes for file in disk.linked}
    return own + sum(linked.values())


def freed(places: Iterable[Disk]) -> int:
    """The bytes that the removal of all of these places gives back: not those of files that keep a
    name elsewhere."""
    own, names, files = 0, dict[tuple[int, int], int](), dict[tuple[int, int], Linked]()
    for disk in places:
        own += disk.own
        for file in disk.linked:
            names[file.inode] = names.get(file.inode, 0) + file.names
            files[file.inode] = file
    return own + sum(file.bytes for key, file in files.items() if names[key] >= file.links)


def _size(stat: os.stat_result) -> int:
    blocks = getattr(stat, "st_blocks", None)  # Windows tells none
    return stat.st_size if blocks is None else blocks * 512


def _is_folder(stat: os.stat_result) -> bool:
    return stat.st_mode & 0o170000 == 0o040000
