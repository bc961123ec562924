"""All groups of `conf/` with what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from rlhf.config.described.commented import Choice, read
from rlhf.config.described.facts import Group, Key, Option, Setting
from rlhf.config.described.files import conf_dir, group_files
from rlhf.config.described.kinds import field_at, kind, of_value
from rlhf.config.described.layers import Files, Layered, Value, layered, places
from rlhf.config.described.readers import reader
from rlhf.config.pieces.base import BY_ADDRESS

HIDDEN = ("hydra/help",)  # the command's own
TOP = "config"  # the file at the top


@dataclass(frozen=True)
class Known:
    """What is known of all files before one option is described."""

    files: Files
    chosen: Mapping[str, Choice]  # by group: what config.yaml chooses, and what that chooses
    unread: Mapping[str, frozenset[str]]  # `algorithm=dpo` -> sections and keys


@cache
def groups(roots: tuple[Path, ...] = ()) -> tuple[Group, ...]:
    """Every group, the top first, then by name.

    Args:
        roots: folders of the user's own groups, beside `conf/`.
    """
    top = {"": {TOP: conf_dir() / f"{TOP}.yaml"}}
    files = {**top, **group_files((conf_dir(), *roots))}
    chosen = {choice.group: choice for choice in _chosen(files)}
    known = Known(files, chosen, dict(_unread(files)))
    return tuple(_group(name, known) for name in files if name not in HIDDEN)


def _chosen(files: Files) -> Iterator[Choice]:
    for choice in read(files[""][TOP]).defaults:
        if choice.option in files.get(choice.group, ()):
            yield from layered(files, choice.group, str(choice.option)).chooses
        yield choice


def _unread(files: Files) -> Iterator[tuple[str, frozenset[str]]]:
    for name in files["algorithm"]:
        whole = layered(files, "algorithm", name)
        if (piece := BY_ADDRESS.get(str(whole.targets.get("algorithm")))) is None:
            continue
        arguments = {
            key.rpartition(".")[2]: value.value
            for key, value in whole.values.items()
            if key.startswith("algorithm.")
        }
        made = piece.model_validate({"_target_": piece.addresses[0], **arguments})
        yield f"algorithm={name}", getattr(made, "unused", frozenset())


def _group(name: str, known: Known) -> Group:
    options = [_option(name, option, known) for option in known.files[name]]
    choice = known.chosen.get(name)
    return Group(
        name=name,
        comment=choice.comment if choice else options[0].comment,
        places=places(name),
        options=tuple(_with_comments(options)),
    )


def _option(group: str, name: str, known: Known) -> Option:
    whole = layered(known.files, group, name)
    choice = known.chosen.get(group)
    place = next(iter(places(group)), None)
    own = {key for key in whole.values if place is not None and _below(key, place)}
    return Option(
        group=group,
        name=name,
        file="/".join(filter(None, (group, f"{name}.yaml"))),
        comment=whole.head,
        target=whole.targets.get(place or ""),
        is_default=not group or (choice is not None and choice.option == name),
        keys=tuple(
            _key(key, whole.values[key], whole, known) for key in whole.values if key in own
        ),
        chooses=tuple(f"{other.group}={other.option}" for other in whole.chooses if group),
        sets=tuple(
            Setting(name=key, value=value.value, comment=value.comment)
            for key, value in whole.values.items()
            if key not in own and group
        ),
    )


def _below(key: str, place: str) -> bool:
    return key.startswith(f"{place}.") if place else not key.startswith("hydra.")


def _key(name: str, value: Value, whole: Layered, known: Known) -> Key:
    field = field_at(name, whole.targets)
    type_, range_ = (
        of_value(value.value) if field is None else kind(field.annotation, field.metadata)
    )
    target = whole.targets.get(name) or whole.targets.get(name.rpartition(".")[0])
    return Key(
        name=name,
        type=type_,
        range=range_,
        default=value.value,
        comment=value.comment,
        note=value.note,
        reader=reader(name, target, known.unread),
    )


def _with_comments(options: list[Option]) -> Iterator[Option]:
    """The options of a group, each key with the comment of another option's where it has none."""
    comments: dict[tuple[str, str, str], str] = {}
    for option in sorted(options, key=lambda option: not option.is_default):
        for key in option.keys:
            if key.comment:
                comments.setdefault((key.name, key.type, key.range), key.comment)
    for option in options:
        yield replace(
            option,
            keys=tuple(
                replace(
                    key, comment=key.comment or comments.get((key.name, key.type, key.range), "")
                )
                for key in option.keys
            ),
        )
