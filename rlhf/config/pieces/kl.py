"""The pieces of conf/kl. What the rules ask of them stands in `rlhf.kl.properties`."""

from __future__ import annotations

from typing import Annotated

from rlhf.config.pieces.base import (
    ByTarget,
    Count,
    Custom,
    KLUnit,
    NotNegative,
    OpenShare,
    Piece,
    Positive,
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


class Linear(Schedule, name="linear", at="rlhf.kl.controller.Linear"):
    pass


class Cosine(Schedule, name="cosine", at="rlhf.kl.controller.Cosine"):
    pass


class PID(Bounded, name="pid", at="rlhf.kl.controller.PID"):
    kp: NotNegative
    ki: NotNegative
    kd: NotNegative


class Dual(Bounded, name="dual", at="rlhf.kl.controller.Dual"):
    lr: Positive


# --- estimators


class K1(Piece, name="k1", at="rlhf.kl.estimator.K1"):
    pass


class K2(Piece, name="k2", at="rlhf.kl.estimator.K2"):
    pass


class K3(Piece, name="k3", at="rlhf.kl.estimator.K3"):
    pass


class Abs(Piece, name="abs", at="rlhf.kl.estimator.Abs"):
    pass


class K1Clamped(Piece, name="k1_clamped", at="rlhf.kl.estimator.K1Clamped"):
    pass


class Exact(Piece, name="exact", at="rlhf.kl.estimator.Exact"):
    pass


# --- placements


class Reward(Piece, name="reward", at="rlhf.kl.placement.Reward"):
    pass


class Loss(Piece, name="loss", at="rlhf.kl.placement.Loss"):
    pass


class SequenceLoss(Piece, name="sequence_loss", at="rlhf.kl.placement.SequenceLoss"):
    pass


class Both(Piece, name="both", at="rlhf.kl.placement.Both"):
    pass


# --- references


class SFT(Piece, name="sft", at="rlhf.kl.reference.SFT"):
    pass


class EMA(Piece, name="ema", at="rlhf.kl.reference.EMA"):
    decay: OpenShare


class Synced(Piece, name="synced", at="rlhf.kl.reference.Synced"):
    every: Count


Controller = Annotated[
    Fixed | Adaptive | AdaptiveAlpacaFarm | Linear | Cosine | PID | Dual | Custom, ByTarget()
]
Estimator = Annotated[K1 | K2 | K3 | Abs | K1Clamped | Exact | Custom, ByTarget()]
Placement = Annotated[Reward | Loss | SequenceLoss | Both | Custom, ByTarget()]
Reference = Annotated[SFT | EMA | Synced | Custom, ByTarget()]
