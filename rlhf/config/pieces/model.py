from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlhf.config.pieces.base import ByTarget, Custom, Piece, Place, Seed


class TinyModel(Piece, name="tiny", at="rlhf.models.load.TinyModel"):
    architecture: Literal["llama", "gpt2"]
    hidden_size: Annotated[int, Field(ge=1, le=2**16)]
    layers: Annotated[int, Field(ge=1, le=1024)]
    heads: Annotated[int, Field(ge=1, le=2**16)]
    seed: Seed


class HFModel(Piece, name="hf", at="rlhf.models.load.HFModel"):
    path: Place
    revision: str | None
    dtype: Literal["float32"]  # of the weights that are trained, whatever the saved ones have
    trust_remote_code: bool


Model = Annotated[TinyModel | HFModel | Custom, ByTarget()]
