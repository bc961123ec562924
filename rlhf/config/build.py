"""The one place that turns a piece of the config into an object."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel

from rlhf.config import pieces
from rlhf.config.allow import refusal, targets, user_allowed
from rlhf.config.base import Strict

KNOWN = frozenset(
    name
    for model in vars(pieces).values()
    if inspect.isclass(model) and issubclass(model, Strict) and "class_path" in model.model_fields
    for name in get_args(model.model_fields["class_path"].annotation)
)


def is_allowed(target: object) -> bool:
    return target in KNOWN or user_allowed(target)


def _check_origin(target: str) -> None:
    """A user's package must not lend its name to a function that lives elsewhere
    (`mine.os.system`)."""
    from hydra.utils import get_object

    found = get_object(target)
    origin = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '')}"
    if not user_allowed(origin):
        raise ValueError(f"{target} is really {origin}, which is not an allowed class")


def build(piece: BaseModel | Mapping[str, Any], **live: Any) -> Any:
    """Calls the piece's class with the piece's arguments and the `live` objects.

    Raises:
        ValueError: if a `_target_` at any depth is not in the allow-list; nothing is imported then.
    """
    plain = piece.model_dump(by_alias=True) if isinstance(piece, BaseModel) else dict(piece)
    named = [target for _, target in targets(plain)]
    for target in named:
        if not is_allowed(target):
            raise ValueError(refusal(target))
    for target in named:
        if target not in KNOWN:
            _check_origin(target)
    from hydra.utils import instantiate

    # Partial first: live objects must not pass through OmegaConf, which copies lists and refuses
    # most classes.
    factory = instantiate({**plain, "_partial_": True}, _convert_="all")
    return factory(**live)
