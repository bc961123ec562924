from __future__ import annotations

from typing import Annotated, Literal

from rlhf.config.pieces.base import ByTarget, Count, Custom, Piece, Seed


class TinyModel(Piece, name="tiny", at="rlhf.models.load.TinyModel"):
    architecture: Literal["llama", "gpt2"]
    hidden_size: Count
    layers: Count
    heads: Count
    seed: Seed


class HFModel(Piece, name="hf", at="rlhf.models.load.HFModel"):
    path: str
    revision: str | None
    dtype: Literal["float32"]  # of the weights that are trained, whatever the saved ones have
    trust_remote_code: bool


Model = Annotated[TinyModel | HFModel | Custom, ByTarget()]
