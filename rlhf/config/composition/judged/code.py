"""The code of functions of the user's own that a config names, as files: found without importing
anything, and digested, so that another code is another run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from importlib.machinery import ModuleSpec, PathFinder
from operator import getitem
from pathlib import Path
from typing import Any

from rlhf.config.allow import targets, user_allowed
from rlhf.config.pieces.base import BY_ADDRESS
from rlhf.digests import digest, file_digest


def write_code(plain: dict[str, Any]) -> None:
    """Writes `_code_` beside each function of the user's own, where it does not stand yet: a config
    that was kept says what the code was."""
    for where, target in targets(plain):
        piece = BY_ADDRESS.get(str(target))
        if piece is not None and piece.callables:
            node = reduce(getitem, where, plain)
            if not node.get("_code_"):
                node["_code_"] = code_of([node.get(name) for name in piece.callables])


def code_of(addresses: list[Any]) -> str:
    """16 hex digits over the files of the functions' modules and of what those import of the
    packages that the user allowed; "" where a function is not allowed or has no file."""
    files: dict[str, str] = {}
    for address in addresses:
        if not (isinstance(address, str) and user_allowed(address)):
            return ""
        module = module_of(address)
        if module is None:
            return ""
        _walk(module, files)
    return digest(files)[:16]


def module_of(address: str) -> str | None:
    """The longest beginning of a dotted path that is a module with a file."""
    parts = address.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))
    return next((name for name in names if source_of(name) is not None), None)


def source_of(module: str) -> Path | None:
    """The file of a module, on Python's path or in the working directory; found by name, nothing is
    run."""
    spec: ModuleSpec | None = None
    folders: list[str] | None = [*sys.path, str(Path.cwd())]
    parts = module.split(".")
    for n in range(1, len(parts) + 1):
        with suppress(ImportError, ValueError):
            spec = PathFinder.find_spec(".".join(parts[:n]), folders)
        if spec is None or (n < len(parts) and spec.submodule_search_locations is None):
            return None
        folders = [*(spec.submodule_search_locations or ())]
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _walk(module: str, files: dict[str, str]) -> None:
    """Adds the digests of a module's file, and of what it imports, by module."""
    path = source_of(module)
    if path is None or module in files:
        return
    files[module] = file_digest(path)
    package = module.split(".")[: None if path.name == "__init__.py" else -1]
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # said where it is imported
        return
    for name in {*_imported(tree, package)}:
        if user_allowed(f"{name}."):
            _walk(name, files)


def _imported(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """The names that a module of the package imports; of `from a import b` both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
