"""What a disk refuses, in a sentence: which file, how much it needed, how much is free."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rlhf.rundir.errors import RunFailed

FULL = (errno.ENOSPC, errno.EDQUOT)
CAUSES = {
    errno.ENOSPC: "no space is left on its disk",
    errno.EDQUOT: "the quota on its disk is used up",
    errno.EFBIG: "it would be larger than files may be there",
    errno.EROFS: "its file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EISDIR: "a directory stands in its place",
    errno.ENOTDIR: "a file stands where its directory should be",
    errno.EEXIST: "a file stands where its directory should be",
    errno.ELOOP: "a symbolic link stands in its place",
    errno.EIO: "its disk gave an error",
    errno.ESTALE: "its network disk no longer knows it",
    errno.ENAMETOOLONG: "its name is longer than file names may be",
}
# as the libraries of tokenizers and safetensors write it, which are not Python's
_FOREIGN = re.compile(r"\(os error (\d+)\)")


class DiskError(RunFailed, OSError):
    """The disk refused: the sentence names the file, the cause, and the bytes."""


def cause_of(error: BaseException) -> int | None:
    """The number of the disk's refusal, where an error is one; also of other libraries' errors."""
    if isinstance(error, OSError):
        return error.errno if error.errno in CAUSES else None
    match = _FOREIGN.search(str(error))
    return int(match[1]) if match and int(match[1]) in CAUSES else None


def sentence(error: BaseException, path: str | Path | None = None, needed: int = 0) -> str | None:
    """The disk's refusal in words, with what to do; None where the error is another one.

    Args:
        path: the file; by default the one that the error names.
        needed: its bytes, where they are known.
    """
    if isinstance(error, DiskError):
        return str(error)
    number = cause_of(error)
    named = path or getattr(error, "filename2", None) or getattr(error, "filename", None)
    if number is None:
        return None
    full = number in FULL
    bytes_ = _bytes(Path(named), needed) if full and named else ""
    todo = "make room" if full else "mend that"
    return (
        f"{named or 'a file'} could not be written: {CAUSES[number]}{bytes_}. Nothing half-written"
        f" is left; {todo}, and the same command goes on from what was saved"
    )


def _bytes(path: Path, needed: int) -> str:
    with suppress(OSError):
        disk = shutil.disk_usage(existing(path))
        need = f"needed {amount(needed)}, " if needed else ""
        return f" ({need}free {amount(disk.free)} of {amount(disk.total)})"
    return ""


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    places = (path, *path.absolute().parents)
    return next((p for p in places if os.path.lexists(p)), Path("/"))


def amount(size: float) -> str:
    """0 bytes, 12.3 kB, 4.0 GB"""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@contextmanager
def writing(path: Path, needed: int = 0) -> Iterator[None]:
    """What is written inside, in words where the disk refuses it.

    Raises:
        DiskError: it does.
    """
    try:
        yield
    except DiskError:
        raise
    except Exception as error:
        if (words := sentence(error, path, needed)) is None:
            raise
        raise DiskError(words) from error


def refused(folder: Path) -> str | None:
    """Why nothing can be written below a folder that may not be there yet; None where it can."""
    place = existing(folder.absolute())
    if not place.is_dir():
        return f"{place} is not a folder"
    if os.access(place, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return None
    with suppress(OSError):
        if os.statvfs(place).f_flag & os.ST_RDONLY:
            return f"{place} is on a file system that is read-only"
    return f"this user may not write in {place}"
