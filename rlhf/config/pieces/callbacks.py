"""The pieces of conf/callbacks."""

from __future__ import annotations

from typing import Annotated

from rlhf.config.pieces.base import ByTarget, Custom, Piece


class Progress(Piece, name="progress", at="rlhf.callbacks.progress.Progress"):
    pass


class Oracle(Piece, name="oracle", at="rlhf.callbacks.oracle.Oracle"):
    pass


Callback = Annotated[Progress | Oracle | Custom, ByTarget()]
