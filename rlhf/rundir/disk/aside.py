"""Half-written files, which lie beside the place they are meant for, and go when their writer is
gone."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from rlhf.rundir.disk.owner import is_alive

# .metrics.jsonl.4711-4723@node7.tmp; versions before 0.2.0 wrote neither thread nor host
NAME = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)(?:-\d+)?(?:@(?P<host>.+))?\.tmp")


def aside_of(path: Path) -> Path:
    """The half-written file's place: in the same directory, named after its writer, which is one
    thread. Of two that write one file at a time the later has it."""
    writer = f"{os.getpid()}-{threading.get_native_id()}@{socket.gethostname()}"
    return path.with_name(f".{path.name}.{writer}.tmp")


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which is at `path` when all of it is on the disk: a reader, or a kill at any
    moment, sees the old file or the new one. An error leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def strays(folder: Path, *, alone: bool = False) -> list[Path]:
    """The half-written files of processes that are gone.

    Those of another machine, where nobody can be asked, are none, unless the caller is `alone`:
    nobody else writes in this folder while it holds some lock.
    """
    orphans = []
    with suppress(OSError):
        for path in sorted(folder.glob(".*.tmp")):
            match = NAME.fullmatch(path.name)
            # in containers most processes have the number 1, each on a host of its own
            if match and ((alone and not _is_ours(match)) or _is_orphan(path, match)):
                orphans.append(path)
    return orphans


def clear_strays(folder: Path, *, alone: bool = False) -> list[Path]:
    """Deletes them, folders that were on their way out too, and returns them."""
    cleared = strays(folder, alone=alone)
    for path in cleared:
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return cleared


def set_aside(path: Path) -> Path:
    """Renames what is damaged, beside its old place, and returns the new name: it is out of the way
    and not lost."""
    aside = _damaged(path)
    path.rename(aside)
    return aside


def copy_aside(path: Path) -> Path:
    """The same of a file whose place is never empty: whoever writes it again renames over it."""
    return Path(shutil.copyfile(path, _damaged(path)))


def _damaged(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.damaged{n or ''}") for n in count())
    return next(name for name in names if not (name.exists() or name.is_symlink()))


def _is_ours(match: re.Match[str]) -> bool:
    return int(match["pid"]) == os.getpid() and match["host"] == socket.gethostname()


def _is_orphan(path: Path, match: re.Match[str]) -> bool:
    writer = {"pid": int(match["pid"]), "host": match["host"] or socket.gethostname()}
    return is_alive({**writer, "time": path.stat().st_mtime}) is False
