"""What is there already, taken as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.config.properties import normalizes
from rlhf.models.adapters.backbone import SharedBackbone
from rlhf.models.adapters.kept import read
from rlhf.models.adapters.load import merged_scalar, policy_from, scalar_from
from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.files.adapter import is_adapter
from rlhf.models.files.folder import saving
from rlhf.models.files.weights import saved_types
from rlhf.models.load import attention_of, load_scalar_model
from rlhf.models.networks import SFT, write_beside
from rlhf.models.scalar import Scalar, ScalarModel
from rlhf.rundir.read import read_json
from rlhf.stages.artifacts import link_weights
from rlhf.stages.outside.pieces import (
    Outside,
    place_of,
    reward_model_piece,
    reward_model_tokenizer,
)

if TYPE_CHECKING:
    from rlhf.stages.context import StageContext
    from rlhf.stages.inputs import Inputs


def enter_policy(context: StageContext, policy: PreTrainedModel, work: Path) -> None:
    """Leaves the policy in `work` as it is, with the run's template and the ids that end a
    response."""
    source, tokenizer = getattr(context.start, "path", None), context.written_tokenizer
    if source is None or not _shares(Path(source), context.ended(policy), work, tokenizer):
        context.start.save(context.ended(policy), tokenizer, work)


def given_adapter(context: Inputs) -> Outside | None:
    """The adapter of `sft.path`, where the run goes on with adapters."""
    start = context.start
    return start if isinstance(start, Outside) and start.stays_adapter(context.cfg) else None


def enter_adapter(context: StageContext, start: Outside, work: Path) -> None:
    """The same of an adapter, which stays beside its own network."""
    assert start.base is not None
    shared = SharedBackbone(context.initial_policy(start.base, frozen=True))
    view = policy_from(shared, SFT, read(start.path))
    context.save_policy(view, work, place_of(start.base))


def given_reward_model(context: StageContext) -> Scalar:
    """The reward model of `reward_model.path`, in 32 bits; an adapter beside its own network where
    the run goes on with adapters, else merged into it."""
    piece = reward_model_piece(context.cfg)
    assert piece is not None
    if piece.base is None:
        return load_scalar_model(
            piece.path,
            dtype=torch.float32,
            trust_remote_code=piece.trust_remote_code,
            **attention_of(piece),
        )
    network, kept = piece.base.causal_lm(context.tokenizer), read(piece.path)
    if piece.stays_adapter(context.cfg):
        return scalar_from(SharedBackbone(network), "reward", kept)
    return merged_scalar(network, kept)


def enter_reward_model(context: StageContext, model: Scalar, work: Path) -> None:
    """Leaves the reward model in `work` with its own tokenizer; its weights linked where nothing of
    it has changed."""
    piece = reward_model_piece(context.cfg)
    assert piece is not None
    tokenizer, source = reward_model_tokenizer(piece), Path(piece.path)
    if isinstance(model, ScalarView):
        assert piece.base is not None
        write_beside(model, tokenizer, work, base=place_of(piece.base))
        return
    assert isinstance(model, ScalarModel)
    if normalizes(context.cfg.reward_model) or not _shares(source, model.model, work, tokenizer):
        model.save(work, tokenizer)


def _shares(
    source: Path, model: PreTrainedModel, work: Path, tokenizer: PreTrainedTokenizerBase
) -> bool:
    """Writes the model into `work` with the very weights of `source`, as a second name of its
    files; False, and nothing is written, where those are no safetensors of 32 bits on this machine
    or the model brings code."""
    if is_adapter(source) or not source.is_dir() or saved_types(source) != {"F32"}:
        return False
    if hasattr(model.config, "auto_map"):
        return False
    with saving(work, model):
        model.config.save_pretrained(work)
        if model.can_generate():
            model.generation_config.save_pretrained(work)
        tokenizer.save_pretrained(work)
        for path in source.glob("*.safetensors*"):
            link_weights(str(path.resolve()), str(work / path.name))
    return True


def origin(context: Inputs, stage: str) -> dict[str, Any]:
    """Where the result of a stage that is not trained comes from, for its manifest."""
    cfg = context.cfg
    piece = context.start if stage == "sft" else reward_model_piece(cfg)
    assert piece is not None
    path = getattr(piece, "path", None)
    came: dict[str, Any] = {"trained": False, **({} if path is None else {"path": path})}
    if path is not None and Path(path).is_dir():
        made = read_json(Path(path) / "manifest.json")
        came |= {"folder": str(Path(path).resolve())}
        came |= {"artifact": made["name"]} if made.get("kind") == "artifact" else {}
    came |= {"content": piece.identity()}
    if stage == "reward_model":
        came |= {"normalized": "anew" if normalizes(cfg.reward_model) else "as it was"}
    return came
