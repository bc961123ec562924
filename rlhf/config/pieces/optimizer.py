from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rlhf.config.pieces.base import ByTarget, Custom, Form, Piece, Positive, Rate, Weight

Betas = Annotated[
    tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
    Field(strict=False),
    Form("list of 2: number", ">= 0 and < 1 each"),
]


class AnyAdam(Piece):
    lr: Rate
    betas: Betas
    eps: Positive


class Adam(AnyAdam, name="adam", at="torch.optim.Adam"):
    # None, torch's choice: as in configs that were kept before there was this
    fused: bool | None = None


class AdamW(Adam, name="adamw", at="torch.optim.AdamW"):
    weight_decay: Weight


class AdamW8bit(AnyAdam, name="adamw_8bit", at="bitsandbytes.optim.AdamW8bit"):
    """Its moments in 8 bits, on a GPU."""

    weight_decay: Weight


class SGD(Piece, name="sgd", at="torch.optim.SGD"):
    lr: Rate
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Weight


Optimizer = Annotated[Adam | AdamW | AdamW8bit | SGD | Custom, ByTarget()]
