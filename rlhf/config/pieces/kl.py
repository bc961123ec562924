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


class Fixed(Piece):
    name = "fixed"
    addresses = ("rlhf.kl.controller.Fixed",)


class Adaptive(Piece):
    name = "adaptive"
    addresses = ("rlhf.kl.controller.Adaptive",)
    target: Positive
    horizon: Positive
    unit: KLUnit


class AdaptiveAlpacaFarm(Piece):
    name = "adaptive_alpaca_farm"
    addresses = ("rlhf.kl.controller.AdaptiveAlpacaFarm",)
    target: Positive
    k_beta: Positive
    unit: KLUnit


class Linear(Piece):
    name = "linear"
    addresses = ("rlhf.kl.controller.Linear",)
    final: NotNegative
    iterations: Count


class Cosine(Piece):
    name = "cosine"
    addresses = ("rlhf.kl.controller.Cosine",)
    final: NotNegative
    iterations: Count


class PID(Piece):
    name = "pid"
    addresses = ("rlhf.kl.controller.PID",)
    target: Positive
    kp: NotNegative
    ki: NotNegative
    kd: NotNegative
    min_coef: Positive
    max_coef: Positive
    unit: KLUnit


class Dual(Piece):
    name = "dual"
    addresses = ("rlhf.kl.controller.Dual",)
    target: Positive
    lr: Positive
    min_coef: Positive
    max_coef: Positive
    unit: KLUnit


# --- estimators


class K1(Piece):
    name = "k1"
    addresses = ("rlhf.kl.estimator.K1",)


class K2(Piece):
    name = "k2"
    addresses = ("rlhf.kl.estimator.K2",)


class K3(Piece):
    name = "k3"
    addresses = ("rlhf.kl.estimator.K3",)


class Abs(Piece):
    name = "abs"
    addresses = ("rlhf.kl.estimator.Abs",)


class K1Clamped(Piece):
    name = "k1_clamped"
    addresses = ("rlhf.kl.estimator.K1Clamped",)


class Exact(Piece):
    name = "exact"
    addresses = ("rlhf.kl.estimator.Exact",)


# --- placements


class Reward(Piece):
    name = "reward"
    addresses = ("rlhf.kl.placement.Reward",)


class Loss(Piece):
    name = "loss"
    addresses = ("rlhf.kl.placement.Loss",)


class SequenceLoss(Piece):
    name = "sequence_loss"
    addresses = ("rlhf.kl.placement.SequenceLoss",)


class Both(Piece):
    name = "both"
    addresses = ("rlhf.kl.placement.Both",)


# --- references


class SFT(Piece):
    name = "sft"
    addresses = ("rlhf.kl.reference.SFT",)


class EMA(Piece):
    name = "ema"
    addresses = ("rlhf.kl.reference.EMA",)
    decay: OpenShare


class Synced(Piece):
    name = "synced"
    addresses = ("rlhf.kl.reference.Synced",)
    every: Count


Controller = Annotated[
    Fixed | Adaptive | AdaptiveAlpacaFarm | Linear | Cosine | PID | Dual | Custom, ByTarget()
]
Estimator = Annotated[K1 | K2 | K3 | Abs | K1Clamped | Exact | Custom, ByTarget()]
Placement = Annotated[Reward | Loss | SequenceLoss | Both | Custom, ByTarget()]
Reference = Annotated[SFT | EMA | Synced | Custom, ByTarget()]
