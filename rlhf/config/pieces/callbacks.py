from __future__ import annotations

from typing import Annotated, Union

from rlhf.config.pieces.base import ByTarget, Custom, without_arguments

CALLBACKS = (
    *without_arguments("rlhf.callbacks.progress", progress="Progress"),
    *without_arguments("rlhf.callbacks.oracle", oracle="Oracle"),
)
Callback = Annotated[Union[*CALLBACKS, Custom], ByTarget()]  # type: ignore[valid-type]
