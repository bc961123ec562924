"""A YAML file with its comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(Base):  # type: ignore[misc]
    """YAML 1.1, but 1e-5 is a number, as it is to OmegaConf."""


FLOAT = re.compile(r"[-+]?(\d[\d_]*)?\.?\d+[eE][-+]?\d+$")
Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
PACKAGE = re.compile(r"#\s*@package\s+(\S+)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A key of a file. A mapping that holds others is an entry too, before those."""

    path: tuple[str, ...]
    value: Any
    comment: str  # beside it and on the lines below that go on, or above it


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A line of a `defaults` list: an option that the file chooses, or stands on."""

    group: str  # from the top of conf/; "" of `_self_`
    option: str | None
    package: str | None  # of `optimizer@ppo.optimizer`
    comment: str


@dataclass(frozen=True, kw_only=True)
class Commented:
    """A file of `conf/`."""

    head: str  # the comment that it opens with
    package: str | None  # of a line `# @package kl`
    defaults: tuple[Choice, ...]
    entries: tuple[Entry, ...]


@cache
def read(path: Path, group: str = "") -> Commented:
    """The values and comments of a file of a group.

    Raises:
        ValueError: it is no YAML, or has no keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return _read(text, group)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _read(text: str, group: str) -> Commented:
    lines = text.splitlines()
    opening = [*takewhile(lambda line: line.startswith("#"), lines)]
    package = next((found[1] for line in opening if (found := PACKAGE.match(line))), None)
    values, node = yaml.load(text, Loader) or {}, yaml.compose(text, Loader)
    if not isinstance(values, dict):
        raise yaml.YAMLError("expected keys and values")
    entries = tuple(_entries(node, values, lines, (), len(opening))) if node else ()
    return Commented(
        head=" ".join(_words(line) for line in opening if not PACKAGE.match(line)),
        package=package,
        defaults=tuple(_choices(node, values, lines, group)) if "defaults" in values else (),
        entries=tuple(entry for entry in entries if entry.path[0] != "defaults"),
    )


def _choices(node: Any, values: dict[str, Any], lines: list[str], group: str) -> Iterator[Choice]:
    (listed,) = (value for key, value in node.value if key.value == "defaults")
    for line, value in zip(listed.value, values["defaults"], strict=True):
        if isinstance(value, str):
            above, _, option = value.rpartition("/")
            own = group if value != "_self_" else ""
            yield Choice(group=above.strip("/") or own, option=option, package=None, comment="")
            continue
        ((named, options),) = value.items()
        ((key, chosen),) = line.value
        name, _, package = named.removeprefix("optional ").removeprefix("override ").partition("@")
        absolute = name.startswith("/") or not group or name.startswith("hydra/")
        for option in options if isinstance(options, list) else [options]:
            yield Choice(
                group=name.strip("/") if absolute else f"{group}/{name}",
                option=option,
                package=package or None,
                comment=_comment(key, chosen, lines, len(lines)),
            )


def _entries(
    node: Any, values: dict[str, Any], lines: list[str], above: tuple[str, ...], head: int
) -> Iterator[Entry]:
    """Depth first. The comment of a mapping that makes a piece is that of its `_target_` too."""
    for key, value in node.value:
        path = (*above, str(key.value))
        inner = values[key.value]
        comment = _comment(key, value, lines, head)
        yield Entry(path=path, value=inner, comment=comment)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            for entry in _entries(value, inner, lines, path, head):
                makes = entry.path == (*path, "_target_")
                yield replace(entry, comment=entry.comment or comment) if makes else entry


def _comment(key: Any, value: Any, lines: list[str], head: int) -> str:
    """What stands above a key in its own column, and beside its value with the lines below that
    are further in than the key."""
    row, column = key.start_mark.line, key.start_mark.column
    above: list[str] = []
    for line in reversed(lines[head:row]):
        if not line.startswith(" " * column + "#"):
            break
        above.insert(0, _words(line))
    place = _last_place(key, value)
    rest = lines[place.line][place.column :].lstrip(": |>+-")
    beside = [_words(rest)] if rest.startswith("#") else []
    for line in lines[place.line + 1 :] if beside else ():
        if not line.lstrip().startswith("#") or len(line) - len(line.lstrip()) <= column + 1:
            break
        beside.append(_words(line))
    return " ".join([*above, *beside])


def _last_place(key: Any, value: Any) -> Any:
    """Where a comment beside an entry follows: after its value, or where the value is a block of
    lines below, after the key."""
    flow = getattr(value, "flow_style", False)
    plain = isinstance(value, yaml.ScalarNode) and value.style not in ("|", ">")
    return value.end_mark if plain or flow else key.end_mark


def _words(line: str) -> str:
    return line.strip().lstrip("#").strip()
