"""Variables of the environment in a config (`${oc.env:KEY}`): which of them are filled in when it
is read, and which stay as they are written until they are used.

docs/decisions/0014-secrets.md says why.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from omegaconf import Container, DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from rlhf.config.pieces.base import BY_ADDRESS
from rlhf.rundir.secrets.environment import VARIABLE, mark
from rlhf.rundir.secrets.redact import (
    is_secret,
    looked_up,
    redact_override,
    redact_text,
    redact_value,
    remember,
)

RESERVED = ("_target_", "_args_", "_partial_", "_convert_", "_recursive_", "_name_", "_code_")
_ADDRESS = re.compile(r"(?!sqlite:|file:)[\w+]+://")

_marking: ContextVar[bool] = ContextVar("marking", default=False)
_asked: ContextVar[list[str] | None] = ContextVar("asked", default=None)


def _env(key: str, *default: Any) -> Any:
    if _marking.get():
        return mark(key, *default)
    if (asked := _asked.get()) is not None:
        asked.append(key)
    return oc.env(key, *default)


def _decode(expr: str | None, _parent_: Container, _node_: Node) -> Any:
    if _marking.get() and isinstance(expr, str) and VARIABLE.search(expr):
        return f"${{oc.decode:{expr}}}"
    return oc.decode(expr, _parent_, _node_)


def _create(obj: Any, _parent_: Container) -> Any:
    if _marking.get() and isinstance(obj, str) and VARIABLE.search(obj):
        return obj
    return oc.create(obj, _parent_)


def read_twice(
    read: Callable[[], dict[str, Any]], again: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `read` gives, but for values that stay as they are written.

    Args:
        again: the same without side effects; called only where a variable was asked for, and
            then each variable gives its own `${oc.env:...}`.
    """
    for name, resolver in (("oc.env", _env), ("oc.decode", _decode), ("oc.create", _create)):
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    asked: list[str] = []
    values = _with(read, marking=False, asked=asked)
    if not asked:
        return values
    marked = _with(again, marking=True, asked=None)
    return {key: _settled(values[key], marked.get(key), (key,), False) for key in values}


def _with(
    read: Callable[[], dict[str, Any]], *, marking: bool, asked: list[str] | None
) -> dict[str, Any]:
    tokens = _marking.set(marking), _asked.set(asked)
    try:
        return read()
    finally:
        _marking.reset(tokens[0])
        _asked.reset(tokens[1])


def _settled(value: Any, marked: Any, path: tuple[str, ...], own: bool) -> Any:
    """`own`: inside a piece of the user's own, whose arguments the schema does not know."""
    if isinstance(value, dict) and isinstance(marked, dict):
        target = value.get("_target_")
        own = own or (target is not None and not (isinstance(target, str) and target in BY_ADDRESS))
        return {k: _settled(v, marked.get(k), (*path, str(k)), own) for k, v in value.items()}
    if isinstance(value, list) and isinstance(marked, list) and len(value) == len(marked):
        return [_settled(v, m, path, own) for v, m in zip(value, marked, strict=True)]
    if not isinstance(marked, str) or not VARIABLE.search(marked) or not _stays(value, path, own):
        return value
    for name, _ in VARIABLE.findall(marked):
        remember(os.environ.get(name))
    return marked


def _stays(value: Any, path: tuple[str, ...], own: bool) -> bool:
    """Secrets, addresses that hold one, and what a piece of the user's own takes. Numbers, and
    the texts that the schema knows, decide the result or say where a run lies: those are filled
    in."""
    if path[-1] in RESERVED:
        return False
    if is_secret(path[-1]):
        return value is not None
    if not isinstance(value, str):
        return own and isinstance(value, (dict, list)) and "_target_" not in str(value)
    address = path[0] == "tracking" and _ADDRESS.match(value) is not None
    return own or address or redact_text(value) != value


def decoded(text: str) -> Any:
    """The value of a text that stayed as it was written.

    Raises:
        ValueError: a variable is not set, or its value cannot be decoded.
    """
    value = looked_up(text)
    if not (text.startswith("${oc.decode:") and VARIABLE.search(text)):
        return value
    try:
        plain: Any = OmegaConf.to_container(OmegaConf.create({"value": text}), resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(str(error).splitlines()[0]) from None
    return plain["value"]


def without_secrets(config: DictConfig) -> DictConfig:
    """A composed config for a file: interpolations as they are written, no secret."""
    plain: Any = redact_value("", OmegaConf.to_container(config))
    for words in plain["hydra"]["overrides"].values():
        words[:] = map(redact_override, words)
    plain["hydra"]["job"]["override_dirname"] = ",".join(
        sorted(plain["hydra"]["overrides"]["task"])
    )
    clean: DictConfig = OmegaConf.create(plain)
    OmegaConf.set_struct(clean, True)
    return clean
