"""The pieces of conf/callbacks."""

from __future__ import annotations

from typing import Annotated

from rlhf.config.pieces.base import ByTarget, Custom, Piece


class Progress(Piece):
    name = "progress"
    addresses = ("rlhf.callbacks.progress.Progress",)


class Oracle(Piece):
    name = "oracle"
    addresses = ("rlhf.callbacks.oracle.Oracle",)


Callback = Annotated[Progress | Oracle | Custom, ByTarget()]
