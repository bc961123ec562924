"""The one place that turns a piece of the config into an object."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any

from pydantic import BaseModel

from rlhf.config import schema  # noqa: F401  (it makes every piece known)
from rlhf.config.allow import refusal, targets, user_allowed
from rlhf.config.composition.environment import RESERVED, decoded
from rlhf.config.composition.judged.code import code_of
from rlhf.config.pieces.base import BY_ADDRESS, Custom


def is_allowed(target: object) -> bool:
    """True for a class of ours, and for one in a package that the user allowed."""
    return isinstance(target, str) and (target in BY_ADDRESS or user_allowed(target))


def user_class(piece: Custom) -> Any:
    """The class of a piece of the user's own.

    Raises:
        ValueError: it is not allowed, or cannot be imported.
    """
    return _own(piece.class_path, "class")


def user_function(address: str) -> Any:
    """A function of the user's own, from a module on Python's path or in the working directory.

    Raises:
        ValueError: it is not allowed or cannot be imported, or its file is not what was imported.
    """
    if not user_allowed(address):
        raise ValueError(refusal(address, "function"))
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that nothing there hides a package
    function = _own(address, "function")
    code = code_of([address])
    if _imported.setdefault(address, code) != code:
        raise ValueError(
            f"{address} was imported and its code has changed since: start Python again"
        )
    return function


_imported: dict[str, str] = {}  # the code of a function when it was first imported


def _own(target: str, kind: str) -> Any:
    if not user_allowed(target):
        raise ValueError(refusal(target, kind))
    try:
        located = locate(target)
    except ErrorDuringImport as error:
        raise ValueError(f"{target} cannot be imported: {error.value!r}") from None
    if located is None:
        raise ValueError(f"{target} cannot be imported: there is no such module or {kind}")
    if not callable(located):
        raise ValueError(f"{target} is of the type {type(located).__name__}; expected a {kind}")
    # a user's package must not lend its name to a function that lives elsewhere (mine.os.system)
    origin = f"{getattr(located, '__module__', None)}.{getattr(located, '__qualname__', '')}"
    if not user_allowed(origin):
        raise ValueError(f"{target} is really {origin}, which is not an allowed {kind}")
    return located


def build(piece: BaseModel | Mapping[str, Any], **live: Any) -> Any:
    """Calls the piece's class with the piece's arguments, pieces among them made first, and the
    `live` objects. Text is taken as it is, but for variables of the environment.

    Raises:
        ValueError: if a `_target_` at any depth is not in the allow-list; nothing is imported then.
            Or a variable of the environment is not set.
    """
    plain = piece.model_dump(by_alias=True) if isinstance(piece, BaseModel) else dict(piece)
    plain = resolved_environment({**plain, "_partial_": False})
    addresses = [target for _, target in targets(plain)]
    for address in addresses:
        if not is_allowed(address):
            raise ValueError(refusal(address))
    return _made(plain, {address: _class(address) for address in addresses}, live)


def _class(address: str) -> Any:
    if address in BY_ADDRESS:
        if (ours := locate(BY_ADDRESS[address].addresses[0])) is None:
            package = address.partition(".")[0]
            raise ValueError(f"{address} cannot be imported: pip install {package}")
        return ours
    return user_class(Custom.model_validate({"_target_": address}))


def _made(node: Any, classes: Mapping[str, Any], live: Mapping[str, Any] | None = None) -> Any:
    """As Hydra's `instantiate` does it, but nothing in a text is followed: a `${...}` that stands
    in one could name what nobody has checked."""
    if isinstance(node, (list, tuple)):
        return [_made(item, classes) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "_target_" not in node:
        return {key: _made(value, classes) for key, value in node.items()}
    inner = classes if node.get("_recursive_", True) else {}
    given = {key: value for key, value in node.items() if key not in RESERVED}
    if inner:
        given = {key: _made(value, inner) for key, value in given.items()}
    ours = BY_ADDRESS.get(node["_target_"])
    given |= {name: user_function(given[name]) for name in (ours.callables if ours else ())}
    positional = _made(list(node.get("_args_", ())), classes)
    call = partial(classes[node["_target_"]], *positional, **{**given, **(live or {})})
    return call if node.get("_partial_") else call()


def resolved_environment(value: Any) -> Any:
    """A plain value with the variables of the environment that it names in their place, but for
    pieces that look them up themselves."""
    if isinstance(value, Mapping):
        if getattr(BY_ADDRESS.get(str(value.get("_target_"))), "looks_up", False):
            return dict(value)
        return {key: resolved_environment(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolved_environment(item) for item in value]
    return decoded(value) if isinstance(value, str) and "${oc." in value else value
