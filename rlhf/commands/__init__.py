"""The subcommands of `rlhf`, a module each, with `main(argv) -> exit code` and a docstring that
opens with `how it is given: what it does`. A new one needs no other file."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The subcommands that there are. Nothing is imported for it."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def summaries() -> str:
    """For `rlhf --help`: the first line of each docstring but that of `run`, in two columns."""
    trees = [ast.parse((FOLDER / f"{name}.py").read_text()) for name in names() if name != "run"]
    lines = [str(ast.get_docstring(tree)).splitlines()[0].partition(": ") for tree in trees]
    return "\n".join(f"{usage:<48}{summary}" for usage, _, summary in lines)
