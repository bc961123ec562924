"""What a word of the command line names: a group, an option or a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlhf.config.described.contents import Contents, contents
from rlhf.config.described.facts import Group, Key, Option
from rlhf.config.described.gather import group as described
from rlhf.config.described.layers import places
from rlhf.config.hints.nearest import did_you_mean


class Unknown(LookupError):
    """A word names nothing; the message says what was probably meant."""


@dataclass(frozen=True)
class Values:
    """A key in every option that has it."""

    name: str
    group: Group
    each: tuple[tuple[Option, Key], ...]


Found = Group | tuple[Option, ...] | Values


def look_up(word: str, roots: tuple[Path, ...] = ()) -> Found:
    """What is known of a group (`kl/controller`), of options (`kl/controller=pid,dual`) or of a key
    (`ppo.iterations`, whatever value stands behind it).

    Raises:
        Unknown: it names nothing.
    """
    known = contents(roots)
    named, mark, value = word.lstrip("+~").partition("=")
    name = named.partition("@")[0].strip("/")
    if name in known.files and name:
        if mark and value and value != "null":
            return tuple(_option(name, each.strip(), known, roots) for each in value.split(","))
        return described(name, roots)
    if values := next(_values(named, known, roots), None):
        return values
    group = name.replace(".", "/")
    if group in known.files and group:
        return described(group, roots)
    raise Unknown(f"{word}: no such group, option or key{_meant(name, known)}")


def _option(group: str, name: str, known: Contents, roots: tuple[Path, ...]) -> Option:
    for option in described(group, roots).options:
        if option.name == name:
            return option
    hint = did_you_mean(name, known.files[group]) or f"; it has {', '.join(known.files[group])}"
    raise Unknown(f"{group}={name}: no such option{hint}")


def _values(name: str, known: Contents, roots: tuple[Path, ...]) -> Iterator[Values]:
    """The group whose options have this key, the one with the longest name first."""
    for group in sorted(known.files, key=len, reverse=True):
        if not any(name.startswith(place) for place in places(group)):
            continue
        if not any(name in known.own_keys(group, option) for option in known.files[group]):
            continue
        whole = described(group, roots)
        each = [(o, key) for o in whole.options for key in o.keys if key.name == name]
        yield Values(name, whole, tuple(each))


def _meant(name: str, known: Contents) -> str:
    options = {
        option: f"{group}={option}"
        for group, files in known.files.items()
        for option in files
        if group
    }
    if name in options:
        several = [f"{group}={name}" for group, files in known.files.items() if name in files]
        return f"; it is an option: {', '.join(several[:5])}"
    keys = {
        key
        for group, files in known.files.items()
        for option in files
        for key in known.own_keys(group, option)
    }
    groups = [group for group in known.files if group]
    return did_you_mean(name, [*groups, *sorted(keys)])
