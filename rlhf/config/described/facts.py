"""What is known of a group, of an option and of a key, as plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

MISSING = "???"  # in a YAML file: must be given


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Who reads a key."""

    stages: tuple[str, ...]  # whose results it decides; none: it decides no result
    by: tuple[str, ...]  # a piece's class, else the files of rlhf/ that name it
    rules: tuple[str, ...]  # the files of rlhf/ with rules that judge it
    unread_with: tuple[str, ...]  # `algorithm=dpo`: choices with which nothing reads it


@dataclass(frozen=True, kw_only=True)
class Key:
    """A setting of an option."""

    name: str  # dotted, as on the command line: kl.controller.target
    type: str
    range: str
    default: Any  # the option's value; of an interpolation its text, of one to be given "???"
    comment: str  # what it is; one sentence or more without a full stop at the end
    note: str  # why this option has another value than the one it stands on; mostly empty
    reader: Reader

    @property
    def default_text(self) -> str:
        """The default as one would write it on the command line."""
        return "must be given" if self.default == MISSING else written(self.default)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A value that an option sets outside its own place."""

    name: str
    value: Any
    comment: str

    @property
    def value_text(self) -> str:
        """The value as one would write it on the command line."""
        return written(self.value)


@dataclass(frozen=True, kw_only=True)
class Option:
    """A file of a group."""

    group: str
    name: str
    file: str  # in conf/: kl/controller/pid.yaml
    comment: str  # at the file's head
    target: str | None  # the class that it makes
    is_default: bool
    keys: tuple[Key, ...]
    chooses: tuple[str, ...]  # options of other groups: kl/placement=reward
    sets: tuple[Setting, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A folder of `conf/`. The one without a name is config.yaml: what stands at the top."""

    name: str
    comment: str  # one line
    places: tuple[str, ...]  # where its keys go: ppo; sft.optimizer, reward_model.optimizer, ...
    options: tuple[Option, ...]

    @property
    def default(self) -> str | None:
        """The option that is chosen where nobody chooses."""
        return next((option.name for option in self.options if option.is_default), None)


def written(value: Any) -> str:
    """A value as one would write it on the command line."""
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return json.dumps(value)
