"""The logging dictionaries of Hydra's node: what `logging.config` would make of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.config.allow import refusal, user_allowed
from rlhf.config.composition.walk import Fault

FORMATTERS = ("logging.Formatter", "colorlog.ColoredFormatter")
STREAM_HANDLERS = ("logging.StreamHandler", "logging.NullHandler", "rich.logging.RichHandler")
FILE_HANDLERS = (
    "logging.FileHandler",
    "logging.handlers.RotatingFileHandler",
    "logging.handlers.TimedRotatingFileHandler",
    "logging.handlers.WatchedFileHandler",
)
STREAMS = ("sys.stdout", "sys.stderr")


def logging_faults(node: Any, directory: Path, path: tuple[str, ...]) -> Iterator[Fault]:
    """logging.config calls `()`, makes an object of `class`, sets the attributes of it that stand
    under `.`, imports what `ext://` names, and puts another part of the dictionary where `cfg://`
    stands.

    A file is written in the directory of the run only, and is a log: no other program reads it.
    """
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        yield from _word_faults(str(node), ".".join(path))
        return
    section = path[2] if len(path) == 4 else ""  # hydra.job_logging.handlers.<name>
    ours = {"formatters": FORMATTERS, "handlers": (*STREAM_HANDLERS, *FILE_HANDLERS)}
    for key, value in node.items():
        if key == ".":
            reason = "sets attributes of an object; give it arguments"
            yield Fault(".".join(path), f"a key `.` {reason}")
        elif key not in ("()", "class"):
            yield from logging_faults(value, directory, (*path, str(key)))
        elif not user_allowed(value) and (
            value not in ours.get(section, ()) or (key == "()" and section == "handlers")
        ):
            yield Fault(f"{'.'.join((*path, key))}={value}", refusal(value))
    name = str(node.get("filename", "a.log"))
    inside = Path(os.path.abspath(name)).is_relative_to(directory)
    if node.get("class") in FILE_HANDLERS and not (inside and name.endswith(".log")):
        reason = f"expected a file *.log in the run's directory ({directory})"
        yield Fault(f"{'.'.join(path)}.filename={name}", reason)


def _word_faults(word: str, where: str) -> Iterator[Fault]:
    name = word.removeprefix("ext://")
    if name != word and name not in STREAMS and not user_allowed(name):
        yield Fault(f"{where}={word}", refusal(name))
    if word.startswith("cfg://"):
        yield Fault(f"{where}={word}", "write the value itself, or ${...}")
