"""Makes reference/correctness.md of statements.toml and the tests: python docs/correctness.py"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "correctness.md"
HEAD = """# What is held to be correct, and by which test

Made by `python docs/correctness.py` from `docs/statements.toml` and the tests; a test fails when
this page is not current. A statement is held by every test whose name begins with its own; `make
test` runs them all. `python benchmarks/breakings.py` breaks ten of them on purpose, one at a time,
and lists the tests that turn red. d = log pi - log ref on the sampled tokens.
"""


def tests() -> dict[str, list[str]]:
    """Names of test functions by file, as they stand there."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        found[str(path.relative_to(ROOT))] = names
    return found


def holders(name: str, known: dict[str, list[str]]) -> list[tuple[str, str]]:
    """(file, test) of those that hold the statement."""
    own = f"test_{name}"
    return [
        (file, test)
        for file, names in known.items()
        for test in names
        if test == own or test.startswith(f"{own}_")
    ]


def link(file: str, names: list[str]) -> str:
    return (
        f"[{file.removeprefix('tests/')}](../../{file}): {', '.join(f'`{test}`' for test in names)}"
    )


def parts() -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = tomllib.loads(
        (ROOT / "docs" / "statements.toml").read_text(encoding="utf-8")
    )["part"]
    return read


def page() -> str:
    known, lines, counts = tests(), [], {"tested": 0, "no test": 0}
    for part in parts():
        lines += [
            "",
            f"## {part['title']}",
            "",
            "| | statement | held by | status |",
            "|---|---|---|---|",
        ]
        for statement in part["statements"]:
            found = holders(statement["name"], known)
            status = "tested" if found else "no test"
            counts[status] += 1
            by_file: dict[str, list[str]] = {}
            for file, test in found:
                by_file.setdefault(file, []).append(test)
            links = "<br>".join(map(link, by_file, by_file.values()))
            held = links or statement.get("why_not", "")
            lines.append(
                f"| {statement['n']} | `{statement['name']}`: {statement['says']} | {held} |"
                f" {status} |"
            )
    total = sum(counts.values())
    said = (
        f"{counts['tested']} of {total} statements are tested; {counts['no test']} have the reason"
        " why not."
    )
    return "\n".join([HEAD, said, *lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
