"""An option with the options that it stands on: `ppo=pretrained` is `ppo=default` with other
values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.config.described.commented import Choice, Commented, Entry, read

GLOBAL = "_global_"
# groups whose keys go elsewhere than under their name; the first place names them
PLACES = {
    "": ("",),
    "kl/coef": ("kl",),
    "model/adapter": ("adapter",),
    "model/sharing": ("adapter",),
    "optimizer": ("ppo.optimizer", "sft.optimizer", "reward_model.optimizer"),
    "experiment": (),
    "method": (),
}
Files = Mapping[str, Mapping[str, Path]]  # group -> option -> file


def places(group: str) -> tuple[str, ...]:
    """Where the keys of a group's options go; none of options that set values all over."""
    return PLACES.get(group, (group.replace("/", "."),))


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value that an option has in a place, its own or that of an option that it stands on."""

    value: Any
    comment: str  # of the first of those that has one
    note: str  # of the last, where that is another


@dataclass(frozen=True, kw_only=True)
class Layered:
    """An option whole."""

    head: str
    targets: Mapping[str, str]  # the classes that it makes, by their dotted places
    values: Mapping[str, Value]  # by dotted names: those of its own place, and others that it sets
    chooses: tuple[Choice, ...]  # of other groups


def layered(files: Files, group: str, option: str) -> Layered:
    """An option with what it stands on.

    Raises:
        KeyError: there is no such option.
    """
    own = read(files[group][option], group)
    values: dict[str, Value] = {}
    chooses: dict[str, Choice] = {}
    for place, name, entry in _entries(files, group, option, _place(own, group)):
        key = ".".join(filter(None, (place, name)))
        values[key] = _over(values.get(key), entry)
    for choice in _choices(files, group, option):
        chooses[choice.group] = choice
    targets = {
        key.removesuffix("_target_").rstrip("."): str(value.value)
        for key, value in values.items()
        if key.endswith("_target_")
    }
    return Layered(
        head=own.head,
        targets=targets,
        values={name: value for name, value in _named(values, group) if name},
        chooses=tuple(chooses.values()),
    )


def _named(values: Mapping[str, Value], group: str) -> Iterator[tuple[str, Value]]:
    """The values but those of `_target_`; of a piece without arguments in a place of its own, such
    as a callback, the place with the class."""
    for key, value in values.items():
        if not key.endswith("_target_"):
            yield key, value
            continue
        place = key.removesuffix("_target_").rstrip(".")
        alone = not any(other.startswith(f"{place}.") for other in values if other != key)
        if alone and place not in places(group):
            yield place, value


def _over(below: Value | None, entry: Entry) -> Value:
    if below is None:
        return Value(value=entry.value, comment=entry.comment, note="")
    if not below.comment or entry.comment in ("", below.comment):
        return Value(value=entry.value, comment=below.comment or entry.comment, note="")
    return Value(value=entry.value, comment=below.comment, note=entry.comment)


def _place(file: Commented, group: str) -> str:
    if file.package == GLOBAL:
        return ""
    return file.package or next(iter(places(group)), "")


def _entries(files: Files, group: str, option: str, place: str) -> Iterator[tuple[str, str, Entry]]:
    """(place, name, entry) of each value, of what an option stands on first: the order of its
    `defaults`."""
    file = read(files[group][option], group)
    for choice in file.defaults or (SELF,):
        if choice.group == group and choice.option and choice.option in files[group]:
            yield from _entries(files, group, choice.option, place)
        elif choice.package == choice.group.rpartition("/")[2] and choice.option:
            inner = f"{place}.{choice.package}"  # /optimizer@optimizer
            yield from _entries(files, choice.group, choice.option, inner)
        elif choice.option == "_self_":
            for entry in file.entries:
                if _is_value(entry):
                    yield place, ".".join(entry.path), entry
    if not any(choice.option == "_self_" for choice in file.defaults or (SELF,)):
        yield from ((place, ".".join(e.path), e) for e in file.entries if _is_value(e))


SELF = Choice(group="", option="_self_", package=None, comment="")


def _is_value(entry: Entry) -> bool:
    return entry.path[-1] == "_target_" or not isinstance(entry.value, dict) or not entry.value


def _choices(files: Files, group: str, option: str) -> Iterator[Choice]:
    for choice in read(files[group][option], group).defaults:
        if choice.group == group and choice.option and choice.option in files[group]:
            yield from _choices(files, group, choice.option)
        elif choice.group:
            yield choice
