"""The subcommands of `rlhf`, a module each in one of the folders here, with `main(argv) -> exit
code` and a docstring that opens with `how it is given: what it does`. A new one needs no other
file."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent
# folder -> what its subcommands are about, in the order of `rlhf --help`
FOLDERS = {"runs": "Runs", "results": "Results", "models": "Models", "setup": "Before a run"}


def names() -> list[str]:
    """The subcommands that there are. Nothing is imported for it."""
    return sorted(path.stem for path in _files())


def module(name: str) -> ModuleType:
    """The module of a subcommand.

    Raises:
        KeyError: there is no such subcommand.
    """
    return import_module(f"rlhf.commands.{source(name).parent.name}.{name}")


def source(name: str) -> Path:
    """The file of a subcommand.

    Raises:
        KeyError: there is no such subcommand.
    """
    return {path.stem: path for path in _files()}[name]


def headed() -> dict[str, dict[str, str]]:
    """For `rlhf --help`: heading -> subcommand -> the first line of its docstring, without how it
    is given. Nothing is imported for it."""
    summaries: dict[str, dict[str, str]] = {heading: {} for heading in FOLDERS.values()}
    for path in _files():
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        summaries[FOLDERS[path.parent.name]][path.stem] = first.partition(": ")[2]
    return summaries


def _files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((FOLDER / folder).glob("[!_]*.py"))]
