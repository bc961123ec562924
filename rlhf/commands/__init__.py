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
    folders = {path.stem: path.parent.name for path in _files()}
    return import_module(f"rlhf.commands.{folders[name]}.{name}")


def summaries() -> str:
    """For `rlhf --help`: the first line of each docstring but that of `run`, in two columns."""
    trees = [ast.parse(path.read_text()) for path in _files() if path.stem != "run"]
    lines = [str(ast.get_docstring(tree)).splitlines()[0].partition(": ") for tree in trees]
    return "\n".join(f"{usage:<48}{summary}" for usage, _, summary in lines)


def _files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((FOLDER / folder).glob("[!_]*.py"))]
