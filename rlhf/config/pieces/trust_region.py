"""The pieces of conf/trust_region."""

from __future__ import annotations

from typing import Annotated

from rlhf.config.pieces.base import ByTarget, Custom, Piece, Positive


class Unlimited(Piece):
    name = "none"
    addresses = ("rlhf.modules.trust_region.Unlimited", "rlhf.trust_region.Unlimited")


class EarlyStop(Piece):
    name = "early_stop"
    addresses = ("rlhf.modules.trust_region.EarlyStop", "rlhf.trust_region.EarlyStop")
    target: Positive


class Penalty(Piece):
    name = "penalty"
    addresses = ("rlhf.modules.trust_region.Penalty", "rlhf.trust_region.Penalty")
    coef: Positive
    target: Positive


TrustRegion = Annotated[Unlimited | EarlyStop | Penalty | Custom, ByTarget()]
