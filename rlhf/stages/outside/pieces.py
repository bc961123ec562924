"""The models that `sft.path` and `reward_model.path` name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf.config.schema import Config
from rlhf.models.load import HFModel, load_config, load_tokenizer
from rlhf.models.piece import ModelPiece
from rlhf.rundir.errors import ModelError


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
    attention = getattr(cfg.model, "attention", "auto")
    return {
        "revision": None,
        "dtype": "float32",
        "trust_remote_code": trusted,
        "attention": attention,
    }


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
