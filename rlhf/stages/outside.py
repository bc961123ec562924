"""Stages that are entered from outside: a policy or a reward model that is there already is taken
as it is, and becomes the artifact of its stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from rlhf.config.properties import needed_stages, normalizes
from rlhf.config.schema import Config
from rlhf.models.folder import saving
from rlhf.models.load import (
    HFModel,
    ModelPiece,
    load_config,
    load_scalar_model,
    load_tokenizer,
    outline,
)
from rlhf.models.matching import quantized, scalar_faults, tokenizer_faults
from rlhf.models.scalar import ScalarModel
from rlhf.models.weights import saved_types
from rlhf.rundir.errors import ModelError
from rlhf.rundir.read import read_json
from rlhf.stages.artifacts import link_weights

if TYPE_CHECKING:
    from rlhf.stages.context import StageContext


class Outside(HFModel):
    """A model that a stage's `path` names."""

    def identity(self) -> dict[str, Any]:
        """Its content; of a hub model the commit that is in the cache."""
        known = super().identity()
        if Path(self.path).is_dir():
            return known
        with self._had():
            config = load_config(self.path, trust_remote_code=self.trust_remote_code)
        return {**known, "commit": getattr(config, "_commit_hash", None)}


class SFTPolicy(Outside):
    """The policy of `sft.path`: our artifact or exported folder, or any causal LM."""

    key = "sft.path"


class RewardModelFolder(Outside):
    """The reward model of `reward_model.path`."""

    key = "reward_model.path"


def policy_piece(cfg: Config, model: ModelPiece) -> ModelPiece:
    """The policy's beginning: `sft.path`, or conf/model where that is not set or the same."""
    path = cfg.sft.path
    if path is None or getattr(model, "path", None) == path:
        return model
    return SFTPolicy(path=path, **_how(cfg))


def reward_model_piece(cfg: Config) -> RewardModelFolder | None:
    """The reward model that is given by its path; None where one is trained."""
    path = cfg.reward_model.path
    return None if path is None else RewardModelFolder(path=path, **_how(cfg))


def _how(cfg: Config) -> dict[str, Any]:
    trusted = getattr(cfg.model, "trust_remote_code", False)
    return {"revision": None, "dtype": "float32", "trust_remote_code": trusted}


# --- before anything is trained


def other_configs(context: StageContext) -> dict[str, PreTrainedConfig]:
    """The configurations of the models that the run reads beside its policy, by the key that names
    them: a reward model that is given, or trained from another model than the policy."""
    cfg, stages = context.cfg, {stage.name for stage in needed_stages(context.cfg)}
    if "reward_model" not in stages:
        return {}
    if piece := reward_model_piece(cfg):
        return {piece.key: piece.config(context.tokenizer)}
    read = getattr(context.model, "config", None)
    if cfg.reward_model.init == "model" and context.start is not context.model and read:
        config = read(context.tokenizer)
        return {} if config is None else {"model": config}
    return {}


def model_faults(context: StageContext) -> list[str]:
    """A sentence for each difference between the policy, the reward model and what a run needs of
    both, by their configurations and tokenizers. The reference is the policy's own copy, and the
    value model is one of the policy or of the reward model: what holds of these holds of it."""
    faults = [*_policy_faults(context)]
    others = other_configs(context)
    if (piece := reward_model_piece(context.cfg)) and piece.key in others:
        faults += _reward_model_faults(context, piece, others[piece.key])
    elif "model" in others and isinstance(context.model, HFModel):
        start = f"model.path={context.model.path} (reward_model.init=model): "
        own = context.model.tokenizer(lambda: context.tokenizer)
        faults += [start + each for each in tokenizer_faults(context.tokenizer, own)]
    return faults


def _policy_faults(context: StageContext) -> Iterator[str]:
    start, config = context.start, context.model_config
    if config is None or not isinstance(start, HFModel):
        return
    if reason := quantized(config):
        yield f"{start.key}={start.path}: {reason}"
    kinds = getattr(config, "architectures", None) or []
    if any(kind.endswith("ForSequenceClassification") for kind in kinds):
        yield (
            f"{start.key}={start.path}: is a {kinds[0]}, expected a causal LM; a reward model is"
            " given by reward_model.path"
        )


def _reward_model_faults(
    context: StageContext, piece: RewardModelFolder, config: PreTrainedConfig
) -> list[str]:
    start, policy = f"{piece.key}={piece.path}", context.tokenizer
    kinds = getattr(config, "architectures", None) or []
    if kinds and not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        return [
            f"{start}: is a {kinds[0]}, expected a model for sequence classification with"
            " num_labels=1; a policy is given by sft.path"
        ]
    reasons = [*scalar_faults(config, outline(config, scalar=True), policy)]
    differences = [*tokenizer_faults(policy, reward_model_tokenizer(piece))]
    if differences:
        differences[-1] += (
            ". A reward model reads the ids that the policy writes; one with a tokenizer of its own"
            f" scores texts: scorer=classifier scorer.path={piece.path}"
        )
    return [f"{start}: {each}" for each in (*reasons, *differences)]


def reward_model_tokenizer(piece: RewardModelFolder) -> PreTrainedTokenizerBase:
    """
    Raises:
        ModelError: there is none.
    """
    try:
        return load_tokenizer(piece.path, trust_remote_code=piece.trust_remote_code)
    except (ModelError, OSError, ValueError) as error:
        raise ModelError(
            [
                f"{piece.key}={piece.path}: has no tokenizer that can be read, so nothing tells"
                " whether it reads the policy's ids; save the one that it was trained with in the"
                " same folder (tokenizer.save_pretrained)"
            ]
        ) from error


# --- the artifacts


def enter_policy(context: StageContext, policy: PreTrainedModel, work: Path) -> None:
    """Leaves the policy in `work` as it is, with the run's tokenizer."""
    source = getattr(context.start, "path", None)
    if source is None or not _shares(Path(source), policy, work, context.tokenizer):
        context.start.save(policy, context.tokenizer, work)


def given_reward_model(context: StageContext) -> ScalarModel:
    """The reward model of `reward_model.path`, in 32 bits."""
    piece = reward_model_piece(context.cfg)
    assert piece is not None
    return load_scalar_model(
        piece.path, dtype=torch.float32, trust_remote_code=piece.trust_remote_code
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


def origin(context: StageContext, stage: str) -> dict[str, Any]:
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
