"""Who reads a key: the stages whose results it decides, the code, and the rules that judge it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
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
    code = _code()
    *_, section, key = ["", *name.split(".")]
    owners = {section} if section else {"cfg", "config"}
    direct = {
        file
        for file, (pairs, words) in code.items()
        if any((owner, key) in pairs for owner in owners)
        or (("settings", key) in pairs and section in words)
    }
    whole = {file for file, (pairs, _) in code.items() if ("cfg", section) in pairs}
    return sorted(direct), sorted(file for file in whole if not file.startswith(RULES))


@cache
def _code() -> dict[str, tuple[set[tuple[str, str]], set[str]]]:
    """Of every file of ours: (owner, name) of each `owner.name` in its code, and all its words."""
    return {path.relative_to(PACKAGE).as_posix(): _names(path) for path in _sources()}


def _names(path: Path) -> tuple[set[tuple[str, str]], set[str]]:
    text = path.read_text(encoding="utf-8")
    pairs = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            owner = node.value
            pairs.add((owner.id if isinstance(owner, ast.Name) else owner.attr, node.attr))
    return pairs, {*WORD.findall(text.lower())}


def _sources() -> Iterable[Path]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if not path.relative_to(PACKAGE).as_posix().startswith(NOT_READERS):
            yield path
