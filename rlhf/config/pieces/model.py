from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from rlhf.config.pieces.base import ByTarget, Custom, Piece, Place, Seed


def _named(path: object) -> object:
    if path is None:
        raise ValueError(
            "needs a value: write model.path=... (or sft.path=..., where an SFT policy is there)"
        )
    return path


Attention = Literal["auto", "eager", "sdpa", "flash_attention_2"]


class TinyModel(Piece, name="tiny", at="rlhf.models.load.TinyModel"):
    architecture: Literal["llama", "gpt2"]
    hidden_size: Annotated[int, Field(ge=1, le=2**16)]
    layers: Annotated[int, Field(ge=1, le=1024)]
    heads: Annotated[int, Field(ge=1, le=2**16)]
    seed: Seed
    attention: Attention = "auto"


class HFModel(Piece, name="hf", at="rlhf.models.load.HFModel"):
    path: Annotated[Place, BeforeValidator(_named)]
    revision: str | None
    dtype: Literal["float32"]  # of the weights that are trained, whatever the saved ones have
    trust_remote_code: bool
    attention: Attention = "auto"


Model = Annotated[TinyModel | HFModel | Custom, ByTarget()]
