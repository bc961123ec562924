"""What a word of the command line names: a group, an option or a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rlhf.config.described.contents import Contents
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


def look_up(word: str, known: Contents) -> Found:
    """What is known of a group (`kl/controller`, or a place of its own: `ppo.optimizer`), of
    options (`kl/controller=pid,dual`, or a file or folder: `experiment/claims`) or of a key
    (`ppo.iterations`, whatever value stands behind it).

    Raises:
        Unknown: it names nothing.
    """
    named, mark, value = word.lstrip("+~").partition("=")
    name = named.partition("@")[0].strip("/")
    if name in known.files and name:
        options = [each.strip() for each in value.strip("[]").split(",")]
        if mark and value != "null" and any(options):
            return tuple(_option(name, each, known) for each in options)
        return described(name, known)
    if values := next(_values(named, known), None):
        return values
    for group in filter(None, known.files):
        if name in (group.replace("/", "."), *places(group)):
            return described(group, known)
    if below := tuple(_below(name, known)):
        return below
    raise Unknown(f"{word}: no such group, option or key{_meant(name, known)}")


def _below(name: str, known: Contents) -> Iterator[Option]:
    """The options whose files have this path, or lie in a folder of this path."""
    for group in filter(None, known.files):
        for option in described(group, known).options if name.startswith(f"{group}/") else ():
            if f"{group}/{option.name}/".startswith(f"{name}/"):
                yield option


def _option(group: str, name: str, known: Contents) -> Option:
    for option in described(group, known).options:
        if option.name == name:
            return option
    hint = did_you_mean(name, known.files[group]) or f"; it has {', '.join(known.files[group])}"
    raise Unknown(f"{group}={name}: no such option{hint}")


def _values(name: str, known: Contents) -> Iterator[Values]:
    """The group whose options have this key, the one with the longest name first."""
    for group in sorted(known.files, key=len, reverse=True):
        if not any(name.startswith(place) for place in places(group)):
            continue
        if not any(name in known.own_keys(group, option) for option in known.files[group]):
            continue
        whole = described(group, known)
        each = [(o, key) for o in whole.options for key in o.keys if key.name == name]
        yield Values(name, whole, tuple(each))


def _meant(name: str, known: Contents) -> str:
    if name.startswith("hydra."):
        return "; a setting of Hydra's own: rlhf --cfg hydra lists those"
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
