"""The models that `sft.path` and `reward_model.path` name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import (
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf.config.schema import Config
from rlhf.digests import file_digest
from rlhf.models.adapters.kept import read
from rlhf.models.adapters.load import merged
from rlhf.models.eos import eos_ids
from rlhf.models.files.adapter import (
    BACKBONE,
    CONFIG,
    WEIGHTS,
    Base,
    base_of,
    dtype_of,
    is_adapter,
)
from rlhf.models.load import HFModel, load_config
from rlhf.models.piece import ModelPiece
from rlhf.rundir.errors import ModelError
from rlhf.rundir.read import read_object


class Outside(HFModel):
    """A model that a stage's `path` names: a whole one, or an adapter beside one."""

    def identity(self) -> dict[str, Any]:
        """Its content; of a hub model the commit that is in the cache."""
        if self.base is not None:
            with self._had():
                own = adapter_identity(Path(self.path))
            return {"adapter": own, "base": self.base.identity()}
        known = super().identity()
        if Path(self.path).is_dir():
            return known
        with self._had():
            config = load_config(self.path, trust_remote_code=self.trust_remote_code)
        return {**known, "commit": getattr(config, "_commit_hash", None)}

    @cached_property
    def base(self) -> Outside | None:
        """The network that the adapter in its folder stands beside; None of a whole model."""
        if not is_adapter(self.path):
            return None
        with self._had():
            place = base_of(self.path)
        return type(self)(
            path=place.path,
            revision=place.revision,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            attention=self.attention,
        )

    def stays_adapter(self, cfg: Config) -> bool:
        """True if it is an adapter, and the run goes on with adapters; otherwise it is merged into
        its network."""
        return cfg.adapter.is_used and self.base is not None

    def tokenizer(self, train: Callable[[], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
        alone = self.base is not None and not (Path(self.path) / "tokenizer_config.json").is_file()
        return self.base.tokenizer(train) if alone and self.base else super().tokenizer(train)

    def config(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
        return super().config(tokenizer) if self.base is None else self.base.config(tokenizer)

    def stop_ids(self) -> list[int]:
        if self.base is None:
            return super().stop_ids()
        if (Path(self.path) / "generation_config.json").is_file():
            with self._had():
                own = GenerationConfig.from_pretrained(self.path)
            return eos_ids(own)
        return self.base.stop_ids()

    def causal_lm(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        """The whole network; an adapter is merged into its own."""
        if self.base is None:
            return super().causal_lm(tokenizer)
        return merged(self.base.causal_lm(tokenizer), read(self.path))


def place_of(piece: HFModel) -> Base:
    """Where PEFT finds a network."""
    folder = Path(piece.path)
    return Base(str(folder.resolve())) if folder.is_dir() else Base(piece.path, piece.revision)


def adapter_identity(folder: Path) -> dict[str, Any]:
    """What decides an adapter: its weights, how much of them is added to which layers, and what
    scores are normalised by."""
    config, kept = (read_object(folder / name) or {} for name in (CONFIG, BACKBONE))
    settings = {key: config.get(key) for key in ("peft_type", "r", "lora_alpha", "use_rslora")}
    normal: dict[str, Any] = {k: kept[k] for k in ("score_mean", "score_std") if k in kept}
    return {**settings, **normal, "weights": file_digest(folder / WEIGHTS)}


class SFTPolicy(Outside):
    """The policy of `sft.path`: our artifact or exported folder, or any causal LM."""

    key = "sft.path"


class RewardModelFolder(Outside):
    """The reward model of `reward_model.path`."""

    key = "reward_model.path"


def policy_piece(cfg: Config, model: ModelPiece) -> ModelPiece:
    """The policy's beginning: `sft.path`, or conf/model where that is not set or the same."""
    path = cfg.sft.path
    if path is None or (getattr(model, "path", None) == path and not is_adapter(path)):
        return model
    return SFTPolicy(path=path, **{**_how(cfg), "dtype": _frozen_dtype(cfg, path)})


def reward_model_piece(cfg: Config) -> RewardModelFolder | None:
    """The reward model that is given by its path; None where one is trained."""
    path = cfg.reward_model.path
    if path is None:
        return None
    how = _how(cfg)
    if is_adapter(path):
        how |= {"dtype": _frozen_dtype(cfg, path)}
    return RewardModelFolder(path=path, **how)


def _frozen_dtype(cfg: Config, path: str) -> str:
    """Of a network that nothing trains but adapters beside it. One that an adapter is merged into
    is loaded as the adapter was made for it."""
    if cfg.adapter.is_used:
        return getattr(cfg.model, "dtype", "float32")
    return (is_adapter(path) and dtype_of(path)) or "float32"


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
        return piece.tokenizer(_none)
    except (ModelError, OSError, ValueError) as error:
        raise ModelError(
            [
                f"{piece.key}={piece.path}: has no tokenizer that can be read, so nothing tells"
                " whether it reads the policy's ids; save the one that it was trained with in the"
                " same folder (tokenizer.save_pretrained)"
            ]
        ) from error


def _none() -> PreTrainedTokenizerBase:
    raise ValueError("there is no tokenizer")
