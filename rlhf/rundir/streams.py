"""Standard output and error that may vanish: `rlhf ... | head`, a terminal that is closed."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from rlhf.rundir.words import wrapped

GONE = (errno.EPIPE, errno.EIO)  # nobody reads it any more


class Outlet:
    """A text stream that goes on somewhere else once it cannot be written: into `spare`, a file,
    else nowhere. Everything else is the stream's own.

    `error`: why, where that was no reader who left (a full disk).
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.spare: Path | None = None
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self._leave(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._leave(error)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def _leave(self, error: OSError) -> None:
        if error.errno not in GONE:
            self.error = error
        for place in (self.spare, Path(os.devnull)):
            with suppress(OSError):
                if place is None:
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("ab") as end:
                    os.dup2(end.fileno(), self.stream.fileno())
                self.stream.flush()  # what waited in its buffer
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def secure() -> None:
    """Puts outlets in the place of stdout and stderr. Those that are closed are opened on nothing:
    the next file would get their number, and what libraries print would be written into it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name) or open(number, "w", buffering=1)  # noqa: SIM115
        setattr(sys, name, stream if isinstance(stream, Outlet) else Outlet(stream))


def on_screen(text: str, stream: TextIO) -> str:
    """The text as the stream shows it best: broken between words to a terminal's width, else as it
    is."""
    with suppress(OSError, ValueError, AttributeError):  # no terminal, or one without a size
        if stream.isatty() and (columns := os.get_terminal_size(stream.fileno()).columns):
            return wrapped(text, columns)
    return text


def spare(log: Path) -> None:
    """Where output goes that nobody reads any more."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Outlet):
            stream.spare = log


def lost() -> str:
    """What could not be written, and why; empty where everything was, or nobody wanted it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, Outlet):
            stream.flush()
            if stream.error is not None:
                return f"{name} could not be written: {stream.error}"
    return ""
