"""In what a run's config differs from the defaults, and the words of a command that makes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rlhf.config.compose import ConfigError, compose
from rlhf.config.composition.resolve import resolve
from rlhf.config.naming import as_now, is_unused, named_flat, pieces_of, run_hash
from rlhf.config.stages import decides
from rlhf.rundir.files import flatten
from rlhf.rundir.read import read_json
from rlhf.rundir.secrets.redact import redact_override, redact_value

ABSENT = object()
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
_LIKE_OTHERS = re.compile(r"(?i)null|true|false|nan|[+-]?inf|[+-]?[\d_.]+(e[+-]?\d+)?")


def differing(config: Mapping[str, Any]) -> dict[str, Any]:
    """key -> value of the settings that decide the result and are not the defaults', pieces by
    name, secrets hidden. The study and the stage come first."""
    mine, theirs = _flat(config), _flat(default_config())
    own = {k: v for k, v in mine.items() if decides(k) and theirs.get(k, ABSENT) != v}
    first = ("study", "stage")
    asked = {k: mine[k] for k in first if mine.get(k) != theirs.get(k) and k in mine}
    return {key: redact_value(key, value) for key, value in (asked | own).items()}


@cache
def default_config() -> dict[str, Any]:
    """The resolved config of `rlhf` without a word."""
    return resolve(compose())[0]


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """With dotted keys, without the sections that add nothing."""
    used = {
        name: section
        for name, section in config.items()
        if not (isinstance(section, Mapping) and name == "adapter" and is_unused(name, section))
    }
    return as_now(named_flat(flatten(used)))


def command(config: Mapping[str, Any], own_hash: str) -> str | None:
    """`rlhf kl.coef=0.1 seed=1`: the words that make this run by itself; None where they are not
    known, as of a config with pieces of the user's own.

    They are composed again, and given only where they come to the run's hash.
    """
    try:
        words = _words(config)
        again = resolve(compose(words))[0]
    except (ConfigError, KeyError, TypeError, ValueError):
        return None
    return in_shell(map(redact_override, words)) if run_hash(again) == own_hash else None


def job_words(directory: Path) -> list[str]:
    """The words of the command, where the run is a job of a sweep."""
    jobs = read_json(directory.absolute().parent / "sweep.json").get("jobs", ())
    own = (job.get("overrides", ()) for job in jobs if job["name"] == directory.name)
    return [redact_override(str(word)) for word in next(own, ())]


def in_shell(words: Any, *flags: str) -> str:
    return " ".join(["rlhf", *flags, *map(shlex.quote, words)])


def sweep_command(overrides: Sequence[str], flags: Sequence[str] = ()) -> str:
    """The command of a sweep, with `-m` where its words have several values.

    Args:
        flags: its options, as sweep.json has them.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        several = any(override.is_sweep_override() for override in parsed)
    except OverrideParseException:
        several = True
    return in_shell(overrides, *map(shlex.quote, flags), *(["-m"] if several else []))


def _words(config: Mapping[str, Any]) -> list[str]:
    """Pieces first, as they bring settings of their own; then the settings that are left."""
    default = default_config()
    mine, theirs = (pieces_of(flatten(each)) for each in (config, default))
    pieces = [
        _piece_word(node, name)
        for node, name in mine.items()
        if theirs.get(node) != name and not (node == "adapter" and name == "none")
    ]
    start = resolve(compose(pieces))[0] if pieces else default
    before, now = _settings(start), _settings(config)
    kept = {k: v for k, v in now.items() if decides(k) or k == "study"}
    leaves = [
        f"{'' if key in before else '+'}{key}={written(value)}"
        for key, value in kept.items()
        if before.get(key, ABSENT) != value
    ]
    return [*pieces, *leaves]


def _piece_word(node: str, name: str) -> str:
    if node.endswith(".optimizer"):
        return f"optimizer@{node}={name}"
    return f"{node.replace('.', '/')}={name}"


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    pieces = pieces_of(flatten(config))
    return {key: value for key, value in _flat(config).items() if key not in pieces}


def written(value: Any) -> str:
    """A value as Hydra's command line takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(written, value)) + "]"
    if not isinstance(value, str):
        return repr(value)
    if _PLAIN.fullmatch(value) and not _LIKE_OTHERS.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
