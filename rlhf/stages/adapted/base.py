"""The frozen network that a stage's adapters stand beside: where PEFT alone finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from rlhf.config.pieces.trained import ADAPTER
from rlhf.config.schema import Config
from rlhf.models.adapters.weights import weights_digest
from rlhf.models.files.adapter import Base
from rlhf.models.load import HFModel
from rlhf.models.piece import ModelPiece
from rlhf.stages.context import StageContext
from rlhf.stages.outside.pieces import place_of
from rlhf.stages.provenance.manifest import manifest

STAGE = "backbone"


def adapter_part(cfg: Config, stage: str) -> dict[str, Any]:
    """What the adapter decides of a stage that is trained, for its fingerprint."""
    part, adapter = getattr(cfg, stage).trained, cfg.adapter
    if part == ADAPTER:
        return {"adapter": {"r": adapter.r, "alpha": adapter.alpha, "targets": adapter.targets}}
    return {"adapter": "head"} if part == "head" and adapter.kind == "head" else {}


def kept_base(context: StageContext, piece: ModelPiece, model: PreTrainedModel) -> Base:
    """The network of a piece of conf/model before any training. One that lies in no folder and on
    no hub (a model that is made from its configuration, a piece of the user's own) is written down
    once, as artifacts/backbone/<digest>, by rank 0."""
    if isinstance(piece, HFModel):
        return place_of(piece)
    own = weights_digest(model)[:16]
    if not context.team.leads:
        return Base(str(context.store.place(STAGE, own).resolve()))

    def make(work: Path) -> dict[str, Any]:
        piece.save(context.ended(model), context.written_tokenizer, work)
        return manifest(
            kind="artifact",
            stage=STAGE,
            hash=own,
            name=f"{STAGE}-{own}",
            seed=None,
            fingerprints={},
            config=context.written["model"],
            metrics={},
        )

    return Base(str(context.store.get(STAGE, own, make).resolve()))
