"""Who reads a key: the stages whose results it decides, the code, and the rules that judge it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from rlhf.config.described.facts import Reader
from rlhf.config.stages import STAGES, decides, lineage

PACKAGE = Path(__file__).resolve().parents[2]
WORD = re.compile(r"\w+")
RULES = ("config/", "kl/rules.py", "runs/machine/fits.py", "estimates/")
NOT_READERS = ("config/described/", "config/schema.py", "config/pieces/", "config/hints/")


def reader(name: str, target: str | None, unread: Mapping[str, frozenset[str]]) -> Reader:
    """Who reads a key.

    Args:
        name: dotted.
        target: the class that gets it as an argument, if it is a piece's.
        unread: what a choice, such as `algorithm=dpo`, leaves unread: sections and keys.
    """
    direct, whole = _files(name)
    judging = tuple(file for file in direct if file.startswith(RULES))
    reading = [file for file in direct if file not in judging] or whole
    section = name.partition(".")[0]
    named = {".".join(name.split(".")[:count]) for count in range(1, name.count(".") + 2)}
    return Reader(
        stages=_stages(section) if decides(name) else (),
        by=(target,) if target else tuple(reading),
        rules=judging,
        unread_with=tuple(choice for choice, keys in unread.items() if keys & named),
    )


def _stages(section: str) -> tuple[str, ...]:
    """The stages whose results a section decides: those that read it, and those that stand on
    them."""
    readers = {name for name, stage in STAGES.items() if section in stage.sections}
    return tuple(name for name in STAGES if readers & {ancestor.name for ancestor in lineage(name)})


def _files(name: str) -> tuple[list[str], list[str]]:
    """The files whose code says `section.key`, or `settings.key` beside the section's name; and
    those that hand on the section whole."""
    *_, section, key = ["", *name.split(".")]
    owners = {section} if section else {"cfg", "config"}
    direct = {
        file
        for file, text in _sources().items()
        if f".{key}" in text and _reads(file, section, key, owners)
    }
    whole = {
        file
        for file, text in _sources().items()
        if f"cfg.{section}" in text and ("cfg", section) in _names(file)
    }
    return sorted(direct), sorted(file for file in whole if not file.startswith(RULES))


def _reads(file: str, section: str, key: str, owners: set[str]) -> bool:
    names = _names(file)
    if any((owner, key) in names for owner in owners):
        return True
    return ("settings", key) in names and section in WORD.findall(_sources()[file].lower())


@cache
def _names(file: str) -> set[tuple[str, str]]:
    """(owner, name) of each `owner.name` in a file's code."""
    pairs = set()
    for node in ast.walk(ast.parse(_sources()[file])):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            owner = node.value
            pairs.add((owner.id if isinstance(owner, ast.Name) else owner.attr, node.attr))
    return pairs


@cache
def _sources() -> dict[str, str]:
    """Our files that may read a setting, with their text."""
    paths = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {
        file: path.read_text(encoding="utf-8")
        for file, path in paths.items()
        if not file.startswith(NOT_READERS)
    }
