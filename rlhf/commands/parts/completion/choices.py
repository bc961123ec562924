"""The values of a key that has few: those of a `Literal` and of a `bool`, read from the source of
the schema. Importing it would take a third of a second."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from rlhf.config.stages import STAGES

CONFIG = Path(__file__).resolve().parents[3] / "config"
SCHEMA = "schema"
Class = tuple[str, ast.ClassDef]  # the module's name


def of_key(name: str, targets: Mapping[str, str]) -> list[str]:
    """The values that a dotted key may have; none where it is a number or a text.

    Args:
        targets: the classes of the pieces on the way, by their places.
    """
    *sections, key = name.split(".")
    owner: Class | None = _class("Config", SCHEMA)
    for count, section in enumerate(sections, 1):
        address = targets.get(".".join(sections[:count]))
        owner = _piece(address) if address else _inner(owner, section)
    return list(dict.fromkeys(_values(*found))) if owner and (found := _field(owner, key)) else []


@cache
def _trees() -> dict[str, ast.Module]:
    paths = [CONFIG / f"{SCHEMA}.py", *sorted((CONFIG / "pieces").rglob("[!_]*.py"))]
    return {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def _class(name: str, module: str) -> Class | None:
    """The class of a name, of this module if it has one."""
    for stem in sorted(_trees(), key=lambda stem: stem != module):
        for node in _trees()[stem].body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return stem, node
    return None


def _piece(address: str) -> Class | None:
    """The class that says it is `at` an address, by the last part of that."""
    for stem, tree in _trees().items():
        for node in (each for each in tree.body if isinstance(each, ast.ClassDef)):
            at = next((word.value for word in node.keywords if word.arg == "at"), None)
            if at is not None and _last(at) == address.rpartition(".")[2]:
                return stem, node
    return None


def _last(node: ast.expr) -> str:
    """The last part of an address, also of f"{HERE}.Name"."""
    texts = [str(part.value) for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return texts[-1].rpartition(".")[2]


def _inner(owner: Class | None, section: str) -> Class | None:
    found = _field(owner, section) if owner else None
    return _class(found[0].id, found[1]) if found and isinstance(found[0], ast.Name) else None


def _field(owner: Class, key: str) -> tuple[ast.expr, str] | None:
    """The annotation of a class's field, its own or that of a class it stands on."""
    module, node = owner
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and getattr(line.target, "id", "") == key:
            return line.annotation, module
    for base in node.bases:
        above = _class(base.id, module) if isinstance(base, ast.Name) else None
        if above and (found := _field(above, key)):
            return found
    return None


def _values(node: ast.expr, module: str) -> Iterator[str]:
    if isinstance(node, ast.BinOp):
        yield from (*_values(node.left, module), *_values(node.right, module))
    elif isinstance(node, ast.Constant):
        yield from ["null"] if node.value is None else []
    elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Literal":
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            yield from [str(part.value)] if isinstance(part, ast.Constant) else STAGES
    elif isinstance(node, ast.Name) and node.id == "bool":
        yield from ("true", "false")
    elif isinstance(node, ast.Name):
        for stem in sorted(_trees(), key=lambda stem: stem != module):
            for line in _trees()[stem].body:
                if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == node.id:
                    if isinstance(line.value, ast.Subscript):
                        yield from _values(line.value, stem)
                    return
