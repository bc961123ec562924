"""What is there already, taken as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.config.properties import normalizes
from rlhf.models.files.folder import saving
from rlhf.models.files.weights import saved_types
from rlhf.models.load import attention_of, load_scalar_model
from rlhf.models.scalar import ScalarModel
from rlhf.rundir.read import read_json
from rlhf.stages.artifacts import link_weights
from rlhf.stages.outside.pieces import reward_model_piece, reward_model_tokenizer

if TYPE_CHECKING:
    from rlhf.stages.context import StageContext
    from rlhf.stages.inputs import Inputs


def enter_policy(context: StageContext, policy: PreTrainedModel, work: Path) -> None:
    """Leaves the policy in `work` as it is, with the run's template and the ids that end a
    response."""
    source, tokenizer = getattr(context.start, "path", None), context.written_tokenizer
    if source is None or not _shares(Path(source), context.ended(policy), work, tokenizer):
        context.start.save(context.ended(policy), tokenizer, work)


def given_reward_model(context: StageContext) -> ScalarModel:
    """The reward model of `reward_model.path`, in 32 bits."""
    piece = reward_model_piece(context.cfg)
    assert piece is not None
    return load_scalar_model(
        piece.path,
        dtype=torch.float32,
        trust_remote_code=piece.trust_remote_code,
        **attention_of(piece),
    )


def enter_reward_model(context: StageContext, model: ScalarModel, work: Path) -> None:
    """Leaves the reward model in `work` with its own tokenizer; its weights linked where nothing of
    it has changed."""
    piece = reward_model_piece(context.cfg)
    assert piece is not None
    tokenizer, source = reward_model_tokenizer(piece), Path(piece.path)
    if normalizes(context.cfg.reward_model) or not _shares(source, model.model, work, tokenizer):
        model.save(work, tokenizer)


def _shares(
    source: Path, model: PreTrainedModel, work: Path, tokenizer: PreTrainedTokenizerBase
) -> bool:
    """Writes the model into `work` with the very weights of `source`, as a second name of its
    files; False, and nothing is written, where those are no safetensors of 32 bits on this machine
    or the model brings code."""
    if not source.is_dir() or saved_types(source) != {"F32"} or hasattr(model.config, "auto_map"):
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
