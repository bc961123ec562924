"""Who uses a folder that several share. Each user is noted beside it, and holds it while it is at
work: who removes the folder has to be alone with it.

The lock is the operating system's, which falls free with its owner.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

try:
    import fcntl
except ImportError:  # of Windows
    fcntl = None  # type: ignore[assignment]


class User(NamedTuple):
    """A run's directory, on some machine."""

    host: str
    directory: str

    @property
    def is_elsewhere(self) -> bool:
        """Whether nothing here can tell if its directory is still there: another machine noted it,
        or this user may not look into the folder that it lies in."""
        try:
            os.stat(self.directory)
        except (FileNotFoundError, NotADirectoryError):
            return self.host != socket.gethostname()
        except OSError:
            return True
        return False


def users_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.users")


def hold(folder: Path, user: Path | None = None) -> IO[bytes] | None:
    """Notes the user, and keeps the folder from being removed until the file that is returned is
    closed. Waits while somebody removes it. None where there is no such file, and this user may
    write none: then the folder is not held."""
    path = users_file(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError:
        with suppress(OSError):
            return _shared(path.open("rb"))
        return None
    _shared(file)
    if user is not None:
        own = User(socket.gethostname(), str(user.absolute()))
        with suppress(OSError):
            if own in users(folder):
                os.utime(path)  # its last use
            else:
                # on a line of its own, also after one that was cut
                file.write(b"\n" + json.dumps(own._asdict()).encode() + b"\n")
    return file


def _shared(file: IO[bytes]) -> IO[bytes]:
    if fcntl is not None:
        with suppress(OSError):  # a disk without locks
            fcntl.flock(file, fcntl.LOCK_SH)
    return file


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether nobody holds the folder; if so, whoever comes waits until this is left."""
    if fcntl is None:
        yield True
        return
    with users_file(folder).open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def last_used(folder: Path) -> float | None:
    """When a user was noted last, in unix seconds; None where none is. An empty file tells
    nothing: `alone` makes it."""
    try:
        stat = users_file(folder).stat()
    except OSError:
        return None
    return stat.st_mtime if stat.st_size else None


def users(folder: Path) -> list[User]:
    """Those that were noted. A line that a kill has cut is left out."""
    try:
        lines = users_file(folder).read_bytes().splitlines()
    except OSError:
        return []
    noted = []
    for line in lines:
        with suppress(ValueError, TypeError):
            noted.append(User(**{key: str(value) for key, value in json.loads(line).items()}))
    return noted


def forget(folder: Path) -> None:
    """Of a folder that was removed. The file stays: another one could be locked twice."""
    with suppress(OSError):
        users_file(folder).write_bytes(b"")
