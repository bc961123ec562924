from __future__ import annotations

from typing import Annotated

from rlhf.config.pieces.base import ByTarget, Custom, Piece


class NoTracker(Piece, name="none", at="rlhf.tracking.base.NoTracker"):
    pass


class MLflowTracker(Piece, name="mlflow", at="rlhf.tracking.mlflow.MLflowTracker"):
    looks_up = True  # what it writes down, it writes as the config does
    uri: str
    experiment: str
    nested: bool = False  # what runs kept that were made before there was a choice does not say it


Tracking = Annotated[NoTracker | MLflowTracker | Custom, ByTarget()]
