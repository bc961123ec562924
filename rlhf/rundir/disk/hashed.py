"""Files that are hashed while they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rlhf.rundir.disk.aside import whole
from rlhf.rundir.disk.space import writing
from rlhf.rundir.files import sync_directory, write_text


class HashedFile:
    """A file that is hashed as it is written: torch hands over each tensor's memory as it is, so
    nothing is held twice."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256 = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Keeps what the disk said: torch puts `unexpected pos` in its place."""
        self.sha256.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


@contextmanager
def hashed(path: Path, digest: Path, needed: int = 0) -> Iterator[HashedFile]:
    """A file to write with torch, which is whole or not there. Its sha256 stands in `digest` first,
    so that a file without one was not left by a kill.

    Args:
        needed: the bytes of it, about, for whoever has no room for them.

    Raises:
        DiskError: the disk refuses it.
    """
    with writing(path, needed):
        file = None
        try:
            with whole(path) as bytes_:
                file = HashedFile(bytes_)
                yield file
                file.flush()
                write_text(digest, file.sha256.hexdigest() + "\n")
        except RuntimeError:
            if file is None or file.error is None:
                raise
            raise OSError(file.error.errno, file.error.strerror, str(path)) from None
        sync_directory(path.parent)
