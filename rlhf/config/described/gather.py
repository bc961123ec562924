"""The groups of `conf/` with all that is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from rlhf.config.described.contents import Contents, below, contents
from rlhf.config.described.facts import Group, Key, Option, Setting
from rlhf.config.described.kinds import field_at, kind, of_value
from rlhf.config.described.layers import Layered, Value, places
from rlhf.config.described.readers import reader
from rlhf.config.pieces.base import BY_ADDRESS

Unread = Mapping[str, frozenset[str]]  # `algorithm=dpo` -> sections and keys


def groups(config_dir: str | Path | None = None) -> tuple[Group, ...]:
    """Every group, the top first, then by name: of `conf/`, of installed plugins and of a folder of
    the user's own."""
    known = contents(config_dir)
    return tuple(group(name, known) for name in known.files)


@cache
def group(name: str, known: Contents) -> Group:
    """One group.

    Raises:
        KeyError: there is none of this name.
    """
    options = [_option(name, option, known, _unread(known)) for option in known.files[name]]
    return Group(
        name=name,
        comment=known.comment(name),
        places=places(name),
        options=tuple(_with_comments(options)),
    )


@cache
def _unread(known: Contents) -> Unread:
    return dict(_unread_with(known))


def _unread_with(known: Contents) -> Iterator[tuple[str, frozenset[str]]]:
    for name in known.files["algorithm"]:
        whole = known.option("algorithm", name)
        if (piece := BY_ADDRESS.get(str(whole.targets.get("algorithm")))) is None:
            continue
        arguments = {
            key.rpartition(".")[2]: value.value
            for key, value in whole.values.items()
            if key.startswith("algorithm.")
        }
        made = piece.model_validate({"_target_": piece.addresses[0], **arguments})
        yield f"algorithm={name}", getattr(made, "unused", frozenset())


def _option(group: str, name: str, known: Contents, unread: Unread) -> Option:
    whole = known.option(group, name)
    place = next(iter(places(group)), None)
    own = known.own_keys(group, name)
    return Option(
        group=group,
        name=name,
        file="/".join(filter(None, (group, f"{name}.yaml"))),
        comment=whole.head,
        target=whole.targets.get(place or ""),
        is_default=not group or known.default(group) == name,
        keys=tuple(_key(key, whole.values[key], whole, unread) for key in own),
        chooses=tuple(f"{other.group}={other.option}" for other in whole.chooses if group),
        sets=tuple(
            Setting(name=key, value=value.value, comment=value.comment)
            for key, value in whole.values.items()
            if group and (place is None or not below(key, place))
        ),
    )


def _key(name: str, value: Value, whole: Layered, unread: Unread) -> Key:
    field = field_at(name, whole.targets)
    takes = of_value(value.value) if field is None else kind(field.annotation, field.metadata)
    target = whole.targets.get(name) or whole.targets.get(name.rpartition(".")[0])
    return Key(
        name=name,
        type=takes.type,
        range=takes.range,
        default=value.value,
        comment=value.comment,
        note=value.note,
        reader=reader(name, target, unread),
    )


def _with_comments(options: list[Option]) -> Iterator[Option]:
    """The options of a group, each key with the comment of another option's where it has none."""
    comments: dict[tuple[str, str, str], str] = {}
    for option in sorted(options, key=lambda option: not option.is_default):
        for key in filter(lambda key: key.comment, option.keys):
            comments.setdefault(_meaning(key), key.comment)
    for option in options:
        keys = (
            replace(key, comment=key.comment or comments.get(_meaning(key), ""))
            for key in option.keys
        )
        yield replace(option, keys=tuple(keys))


def _meaning(key: Key) -> tuple[str, str, str]:
    return key.name, key.type, key.range
