from __future__ import annotations

from typing import Annotated

from rlhf.config.pieces.base import ByTarget, Custom, Piece, Positive


class Unlimited(
    Piece, name="none", at="rlhf.modules.trust_region.Unlimited", was="rlhf.trust_region.Unlimited"
):
    pass


class EarlyStop(
    Piece,
    name="early_stop",
    at="rlhf.modules.trust_region.EarlyStop",
    was="rlhf.trust_region.EarlyStop",
):
    target: Positive


class Penalty(
    Piece, name="penalty", at="rlhf.modules.trust_region.Penalty", was="rlhf.trust_region.Penalty"
):
    coef: Positive
    target: Positive


TrustRegion = Annotated[Unlimited | EarlyStop | Penalty | Custom, ByTarget()]
