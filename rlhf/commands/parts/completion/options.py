"""What a subcommand takes, read from its source: `option("--json", ...)` and positional
arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf import commands

# what is said of a positional argument -> what it takes
ARGUMENTS = {
    "setting": ("key=value", "setting"),
    "place": ("run", "sweep", "place", "directory", "what"),
    "sweep": ("sweep", "place", "directory", "what"),  # by its name, too, or a run by its
    "run": ("run",),
    "key": ("group",),
    "name": ("subcommand",),
}
SWITCHES = ("store_true", "store_false", "version", "count")


@dataclass(frozen=True)
class Option:
    """An option of a command line."""

    name: str
    help: str
    metavar: str
    choices: tuple[str, ...]
    takes_value: bool


@dataclass(frozen=True)
class Known:
    """What a subcommand takes."""

    options: dict[str, Option]
    arguments: frozenset[str]  # of ARGUMENTS
    choices: tuple[str, ...]  # of a positional argument


ALWAYS = (
    Option("--help", "what it takes, with examples", "", (), False),
    Option("--version", "of rlhf and of what it stands on", "", (), False),
)
ALLOW = Option("--allow-targets", "a package of yours that the config names", "PACKAGE", (), True)


def of_subcommand(name: str) -> Known:
    """What a subcommand takes."""
    trees = [*_trees(commands.source(name))]
    constants = {
        node.targets[0].id: node.value
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    options = {option.name: option for option in ALWAYS}
    arguments: set[str] = set()
    choices: tuple[str, ...] = ()
    for call in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if getattr(call.func, "id", "") == "add_option":
            options[ALLOW.name] = ALLOW
        names = [*_texts(call.args, constants)]
        if not _declares(call) or not names:
            continue
        given = {word.arg: word.value for word in call.keywords if word.arg}
        for flag in (each for each in names if each.startswith("-")):
            options[flag] = _option(flag, given, constants)
        if not names[0].startswith("-"):
            arguments |= _takes(" ".join([names[0], *_texts([given.get("metavar")], constants)]))
            choices = choices or _choices(given.get("choices"), constants)
    return Known(options, frozenset(arguments), choices)


def _trees(source: Path) -> Iterator[ast.Module]:
    """A subcommand's source, and that of the parser which it shares with others."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    yield tree
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and "parser" in {alias.name for alias in node.names}:
            shared = str(node.module).removeprefix("rlhf.commands.").replace(".", "/")
            yield from _trees(commands.FOLDER / f"{shared}.py")


def _takes(said: str) -> set[str]:
    kinds = {kind for kind, marks in ARGUMENTS.items() if any(mark in said for mark in marks)}
    return kinds - {"sweep", "run"} if "PATH" in said else kinds  # which takes folders alone


def _declares(call: ast.Call) -> bool:
    """True of `add_argument` and of the short names that it is given."""
    function = call.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return name in ("add_argument", "option", "rule")


def _option(name: str, given: dict[str, Any], constants: dict[str, ast.expr]) -> Option:
    words = ("help", "metavar", "action")
    texts = {word: next(_texts([given.get(word)], constants), "") for word in words}
    kind = ast.unparse(given["type"]) if "type" in given else ""
    return Option(
        name=name,
        help=" ".join(texts["help"].split()),
        metavar=texts["metavar"] or ("DIR" if kind == "Path" else ""),
        choices=_choices(given.get("choices"), constants),
        takes_value=texts["action"] not in SWITCHES,
    )


def _choices(node: ast.expr | None, constants: dict[str, ast.expr]) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        node = constants.get(node.id)
    return tuple(_texts(node.elts, constants)) if isinstance(node, (ast.Tuple, ast.List)) else ()


def _texts(nodes: Any, constants: dict[str, ast.expr]) -> Iterator[str]:
    """The texts among expressions; of an f-string what is not filled in."""
    for node in nodes:
        if isinstance(node, ast.Name):
            node = constants.get(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
