"""The one place that turns a piece of the config into an object."""

from __future__ import annotations

from collections.abc import Mapping
from pydoc import ErrorDuringImport, locate
from typing import Any

from pydantic import BaseModel

from rlhf.config import schema  # noqa: F401  (it makes every piece known)
from rlhf.config.allow import refusal, targets, user_allowed
from rlhf.config.pieces.base import BY_ADDRESS, Custom


def is_allowed(target: object) -> bool:
    """True for a class of ours, and for one in a package that the user allowed."""
    return target in BY_ADDRESS or user_allowed(target)


def user_class(piece: Custom) -> Any:
    """The class of a piece of the user's own.

    Raises:
        ValueError: it is not allowed, or cannot be imported.
    """
    target = piece.class_path
    if not user_allowed(target):
        raise ValueError(refusal(target))
    try:
        cls = locate(target)
    except ErrorDuringImport as error:
        raise ValueError(f"{target} cannot be imported: {error.value!r}") from None
    if cls is None:
        raise ValueError(f"{target} cannot be imported: there is no such module or class")
    # a user's package must not lend its name to a function that lives elsewhere (mine.os.system)
    origin = f"{getattr(cls, '__module__', None)}.{getattr(cls, '__qualname__', '')}"
    if not user_allowed(origin):
        raise ValueError(f"{target} is really {origin}, which is not an allowed class")
    return cls


def build(piece: BaseModel | Mapping[str, Any], **live: Any) -> Any:
    """Calls the piece's class with the piece's arguments and the `live` objects.

    Raises:
        ValueError: if a `_target_` at any depth is not in the allow-list; nothing is imported then.
    """
    plain = piece.model_dump(by_alias=True) if isinstance(piece, BaseModel) else dict(piece)
    plain.pop("_name_", None)
    addresses = [target for _, target in targets(plain)]
    for address in addresses:
        if not is_allowed(address):
            raise ValueError(refusal(address))
    for address in addresses:
        if address not in BY_ADDRESS:
            user_class(Custom.model_validate({"_target_": address}))
    if plain["_target_"] in BY_ADDRESS:
        plain["_target_"] = BY_ADDRESS[plain["_target_"]].addresses[0]
    from hydra.utils import instantiate

    # Partial first: live objects must not pass through OmegaConf, which copies lists and refuses
    # most classes.
    return instantiate({**plain, "_partial_": True}, _convert_="all")(**live)
