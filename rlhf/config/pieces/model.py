from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rlhf.config.pieces.base import (
    ByTarget,
    Count,
    Custom,
    Form,
    Piece,
    Place,
    Positive,
    Seed,
    Strict,
)


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
    # of the weights, whatever the saved ones have; 16 or 4 bits for those that nothing trains
    dtype: Literal["float32", "bfloat16", "4bit"]
    trust_remote_code: bool
    attention: Attention = "auto"


Model = Annotated[TinyModel | HFModel | Custom, ByTarget()]


def _targets(value: object) -> object:
    names = isinstance(value, list) and value and all(isinstance(n, str) and n for n in value)
    if value not in ("all-linear", "default") and not names:
        raise ValueError(
            "expected all-linear, default or a list of modules' names, such as [q_proj,v_proj]"
        )
    return value


LAYERS = Form("text or list", "all-linear, default, or modules' names")


class Adapter(Strict):
    """conf/model/adapter and conf/model/sharing: what the roles of a run train beside a frozen
    network, and whether they share it. The arguments of LoRA decide nothing where there is none."""

    kind: Literal["none", "lora", "head"]
    sharing: Literal["separate", "backbone"] = "separate"
    r: Annotated[Count, Field(le=2**16)] = 16
    alpha: Positive = 32.0
    targets: Annotated[Any, BeforeValidator(_targets), LAYERS] = "all-linear"

    @property
    def is_used(self) -> bool:
        return self.kind != "none"

    @property
    def shares(self) -> bool:
        """True if all roles of PPO stand on one network."""
        return self.is_used and self.sharing == "backbone"


NO_ADAPTER = Adapter(kind="none")
