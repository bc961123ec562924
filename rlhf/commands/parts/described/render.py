"""A group, its options or a key, as text and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rlhf.config.described.facts import Group, Key, Option, Reader
from rlhf.config.described.lookup import Found, Values

WIDTH = 100
COLUMN = 44  # where types begin
MOST = 4  # files of a reader that are named beside others


def text(found: Found) -> str:
    """What was found, in lines of 100 columns at most."""
    if isinstance(found, Group):
        return "\n".join(_group(found))
    if isinstance(found, Values):
        return "\n".join(_values(found))
    return "\n\n".join("\n".join(_option(option, {})) for option in found)


def as_json(found: Sequence[Found]) -> str:
    """A list with an object for each word; an option's `keys` have everything that is known."""
    plain: list[Any] = []
    for each in found:
        if isinstance(each, Group):
            plain.append({**asdict(each), "default": each.default})
        elif isinstance(each, Values):
            options = [{"option": option.name, **asdict(key)} for option, key in each.each]
            plain.append({"name": each.name, "group": each.group.name, "options": options})
        else:
            plain.extend(asdict(option) for option in each)
    return json.dumps(plain, indent=2, ensure_ascii=False)


def _group(group: Group) -> Iterator[str]:
    default = f" Chosen where nobody chooses: {group.default}." if group.default else ""
    yield from _wrapped(f"{group.name}: {_sentence(group.comment)}{default}", "")
    if len(group.places) > 1:
        yield from _wrapped(f"chosen for one place: {_places(group)}", "  ")
    shown: dict[str, Key] = {}
    for option in sorted(group.options, key=lambda option: not option.is_default):
        yield ""
        yield from _option(option, shown)


def _places(group: Group) -> str:
    return ", ".join(f"{group.name}@{place}=..." for place in group.places)


def _option(option: Option, shown: dict[str, Key]) -> Iterator[str]:
    """An option; of keys that were shown before only another default."""
    mark = "  (default)" if option.is_default else ""
    yield f"{option.group}={option.name}{mark}" if option.group else "settings at the top"
    yield from _wrapped(option.comment, "  ")
    if option.chooses:
        yield from _wrapped(f"chooses {', '.join(option.chooses)}", "  ")
    if option.sets:
        values = "; ".join(f"{each.name}={each.value_text}" for each in option.sets)
        yield from _wrapped(f"sets {values}", "  ")
    again = []
    for key in option.keys:
        before = shown.get(key.name)
        if before is not None and (before.type, before.comment) == (key.type, key.comment):
            if before.default != key.default:
                again.append(f"{key.name}={key.default_text}")
            continue
        shown.setdefault(key.name, key)
        yield from _key(key, alone=option.target is None)
    if again:
        yield from _wrapped(f"as above, but {', '.join(again)}", "  ")
    if option.target:
        yield from _wrapped("; ".join([f"makes {option.target}", *_effects(option)]), "  ")


def _effects(option: Option) -> Iterator[str]:
    """What is true of all keys of a piece."""
    if len({(key.reader.stages, key.reader.unread_with) for key in option.keys}) == 1:
        yield from _decides(option.keys[0].reader)


def _key(key: Key, *, alone: bool) -> Iterator[str]:
    """`alone`: who reads it is not said of all keys of its option together."""
    default = _short(key.default_text)
    head = f"  {key.name}: {default}" if default == "must be given" else f"  {key.name}={default}"
    limits = "" if key.range == "any" else f": {key.range}"
    if len(head) >= COLUMN or len(key.type + limits) > WIDTH - COLUMN:
        yield head
        yield from _wrapped(f"{key.type}{limits}", "      ")
    else:
        yield f"{head:<{COLUMN}}{key.type}{limits}"
    yield from _wrapped(key.comment, "      ")
    if key.note:
        yield from _wrapped(f"here: {key.note}", "      ")
    if alone:
        yield from _reader(key.reader, "      ")
    elif key.reader.rules:
        yield from _wrapped(f"judged by {_some(key.reader.rules, MOST)}", "      ")


def _values(values: Values) -> Iterator[str]:
    _, first = values.each[0]
    yield values.name
    limits = "" if first.range == "any" else f": {first.range}"
    yield from _wrapped(f"{first.type}{limits}", "  ")
    comments: dict[tuple[str, str], list[str]] = {}
    for option, key in values.each:
        comments.setdefault((key.comment, f"{key.type}: {key.range}"), []).append(option.name)
    for (comment, _), names in comments.items():
        which = f"{', '.join(names)}: " if len(comments) > 1 else ""
        yield from _wrapped(f"{which}{_sentence(comment)}", "  ")
    yield ""
    for option, key in values.each:
        mark = " (default)" if option.is_default else ""
        where = f"{option.group}={option.name}{mark}" if option.group else "default"
        note = f"   {key.note}" if key.note else ""
        yield from _wrapped(f"{where:<32} {_short(key.default_text)}{note}", "  ")
    yield ""
    for reader in dict.fromkeys(key.reader for _, key in values.each):
        yield from _reader(reader, "  ", most=100)


def _reader(reader: Reader, margin: str, most: int = MOST) -> Iterator[str]:
    parts = [
        f"read by {_some(reader.by, most)}" if reader.by else "",
        f"judged by {_some(reader.rules, most)}" if reader.rules else "",
        *_decides(reader),
    ]
    yield from _wrapped("; ".join(filter(None, parts)), margin)


def _decides(reader: Reader) -> Iterator[str]:
    if reader.stages:
        yield f"decides the results of {', '.join(reader.stages)}"
    else:
        yield "decides no result"
    if reader.unread_with:
        first, *others = reader.unread_with
        names = [other.partition("=")[2] for other in others]
        yield f"not read with {', '.join([first, *names])}"


def _some(names: Sequence[str], most: int) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def _short(value: str) -> str:
    lines = value.splitlines()
    return value if len(lines) == 1 and len(value) <= 60 else f"{lines[0][:57]}..."


def _sentence(comment: str) -> str:
    return comment if comment.endswith((".", "?")) else f"{comment}."


def _wrapped(words: str, margin: str) -> list[str]:
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(
        words, WIDTH, initial_indent=margin, subsequent_indent=f"{margin}  ", **options
    )
