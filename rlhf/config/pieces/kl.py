"""The pieces of conf/kl. What the rules ask of them stands in `rlhf.kl.properties`."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import AfterValidator, Field

from rlhf.config.pieces.base import (
    ByTarget,
    Count,
    Custom,
    KLUnit,
    NotNegative,
    OpenShare,
    Piece,
    Positive,
    Weight,
    without_arguments,
)

# --- controllers


class Targeted(Piece):
    target: Positive  # nats, by `unit`
    unit: KLUnit


class Bounded(Targeted):
    min_coef: Positive
    max_coef: Positive


class Schedule(Piece):
    final: NotNegative
    iterations: Count


class Fixed(Piece, name="fixed", at="rlhf.kl.controller.Fixed"):
    pass


class Adaptive(Targeted, name="adaptive", at="rlhf.kl.controller.Adaptive"):
    horizon: Positive


class AdaptiveAlpacaFarm(
    Targeted, name="adaptive_alpaca_farm", at="rlhf.kl.controller.AdaptiveAlpacaFarm"
):
    k_beta: Positive
    steered_by: Literal["log_ratio", "penalty"]


class Linear(Schedule, name="linear", at="rlhf.kl.controller.Linear"):
    pass


class Cosine(Schedule, name="cosine", at="rlhf.kl.controller.Cosine"):
    pass


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even: two halves of a window are compared")
    return value


class Path(Piece, name="path", at="rlhf.kl.path.Path"):
    grid: list[Weight] | None = None
    start: Weight
    points: Count
    shrink: Annotated[float, Field(gt=0, le=1)] = 1.0
    at_least: Count
    window: Annotated[int, Field(ge=2, lt=2**31), AfterValidator(_even)]
    tolerance: NotNegative
    restart_lr: bool
    keep_optimizer: bool
    keep_values: bool


class PID(Bounded, name="pid", at="rlhf.kl.controller.PID"):
    kp: NotNegative
    ki: NotNegative
    kd: NotNegative


class Dual(Bounded, name="dual", at="rlhf.kl.controller.Dual"):
    lr: Positive


ESTIMATORS = without_arguments(
    "rlhf.kl.estimator",
    k1="K1",
    k2="K2",
    k3="K3",
    abs="Abs",
    k1_clamped="K1Clamped",
    exact="Exact",
)
PLACEMENTS = without_arguments(
    "rlhf.kl.placement",
    reward="Reward",
    loss="Loss",
    loss_without_ratio="LossWithoutRatio",
    sequence_loss="SequenceLoss",
    both="Both",
)


# --- references


class SFT(Piece, name="sft", at="rlhf.kl.reference.SFT"):
    pass


class EMA(Piece, name="ema", at="rlhf.kl.reference.EMA"):
    decay: OpenShare


class Synced(Piece, name="synced", at="rlhf.kl.reference.Synced"):
    every: Count


Controller = Annotated[
    Fixed | Adaptive | AdaptiveAlpacaFarm | Linear | Cosine | Path | PID | Dual | Custom, ByTarget()
]
Estimator = Annotated[Union[*ESTIMATORS, Custom], ByTarget()]  # type: ignore[valid-type]
Placement = Annotated[Union[*PLACEMENTS, Custom], ByTarget()]  # type: ignore[valid-type]
Reference = Annotated[SFT | EMA | Synced | Custom, ByTarget()]
