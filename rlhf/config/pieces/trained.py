"""Which part of a network a supervised stage trains."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from rlhf.arguments import layers_of
from rlhf.config.pieces.base import Form

ADAPTER = "adapter"  # what conf/model/adapter adds, and a reward model's head


def _part(value: str) -> str:
    if value != ADAPTER:
        layers_of(value)
    return value


def _layers(value: str) -> str:
    if value != ADAPTER and layers_of(value) == 0:
        raise ValueError("the head of many policies is their embedding too: take all or last:N")
    return value


Trained = Annotated[str, AfterValidator(_part), Form("one of these", "all, head, last:N, adapter")]
POLICY = Form("one of these", "all, last:N, adapter")
TrainedLayers = Annotated[str, AfterValidator(_layers), POLICY]
