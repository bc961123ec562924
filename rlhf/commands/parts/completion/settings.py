"""Groups, options, keys and values of a config."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from rlhf.commands.parts.completion import choices
from rlhf.config.described.contents import Contents, contents
from rlhf.config.described.facts import written
from rlhf.config.described.layers import Value, places

Pair = tuple[str, str]  # a word, and what it is


def complete(words: Sequence[str], word: str) -> Iterator[Pair]:
    """Settings that a word may become: `kl/contr` kl/controller=, `kl/controller=ad` its options,
    `ppo.iter` ppo.iterations=, `ppo.aggregation=` its values. Of a list with commas the last."""
    known = contents(_config_dir(words))
    signs = word[: len(word) - len(word.lstrip("+~"))]
    name, mark, value = word.lstrip("+~").partition("=")
    pairs = _values(known, words, name) if mark else _names(known, words, name)
    done = "".join(value.rpartition(",")[:2])
    for text, description in pairs:
        yield (f"{signs}{name}={done}{text}" if mark else f"{signs}{text}"), description


def names(words: Sequence[str], word: str) -> Iterator[Pair]:
    """Groups, and keys without what they are set to; of a group that is given, its options."""
    if "=" in word:
        yield from complete(words, word)
        return
    for text, description in complete(words, word):
        yield text.removesuffix("="), description


def _config_dir(words: Sequence[str]) -> Path | None:
    """The folder of `--config-dir`, if it is there."""
    given = [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    given += [after for word, after in pairwise(words) if word in ("--config-dir", "-cd")]
    folders = [Path(each).expanduser() for each in given]
    return next((folder for folder in folders if folder.is_dir()), None)


def _names(known: Contents, words: Sequence[str], name: str) -> Iterator[Pair]:
    if "@" in name:
        group = name.partition("@")[0]
        yield from ((f"{group}@{place}=", "") for place in places(group) if len(places(group)) > 1)
        return
    for group in filter(None, known.files):
        if group.startswith(name):
            yield f"{group}=", known.comment(group)
            if len(places(group)) > 1:
                yield f"{group}@", "for one place"
    if "." not in name:
        sections = {place.partition(".")[0] for group in known.files for place in places(group)}
        yield from ((f"{section}.", "its values") for section in sections if section)
        yield from _keys(known, words, "", name)
        return
    for group in sorted(known.files, key=lambda group: len(places(group)) > 1):
        if group and any(_meet(place, name) for place in places(group)):
            yield from _keys(known, words, group, name)


def _meet(place: str, name: str) -> bool:
    return f"{place}.".startswith(name) or name.startswith(f"{place}.")


def _keys(known: Contents, words: Sequence[str], group: str, name: str) -> Iterator[Pair]:
    for key, value in _chosen_values(known, words, group):
        if key.startswith(name):
            yield f"{key}=", f"{written(value.value)}  {value.comment}".splitlines()[0]


def _chosen_values(
    known: Contents, words: Sequence[str], group: str
) -> Iterator[tuple[str, Value]]:
    for option in _chosen(known, words, group):
        values = known.option(group, option).values
        first = next(iter(places(group)), None)
        for key in known.own_keys(group, option):
            for place in places(group):
                yield f"{place}{key.removeprefix(str(first))}" if group else key, values[key]


def _chosen(known: Contents, words: Sequence[str], group: str) -> list[str]:
    """The options of a group that the words choose; without a choice all, its default first."""
    given = {word.lstrip("+~").partition("=")[::2] for word in words}
    named = [option for name, value in given if name == group for option in value.split(",")]
    there = [option for option in named if option in known.files[group]]
    default = known.default(group)
    return there or sorted(known.files[group], key=lambda option: option != default)


def _values(known: Contents, words: Sequence[str], name: str) -> Iterator[Pair]:
    group = name.partition("@")[0]
    if group in known.files and group:
        for option in known.files[group]:
            yield option, known.option(group, option).head
        return
    for owner in known.files:
        if owner and not any(name.startswith(f"{place}.") for place in places(owner)):
            continue
        for option in _chosen(known, words, owner):
            if name in dict(_chosen_values(known, [f"{owner}={option}"], owner)):
                targets = known.option(owner, option).targets
                yield from ((choice, "") for choice in choices.of_key(name, targets))
