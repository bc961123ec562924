"""The only file that makes or loads transformers' models. Every model it gives has dropout off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from rlhf.models.adapters.quantized import loading_as
from rlhf.models.eos import eos_ids
from rlhf.models.files.folder import folder_identity, loading
from rlhf.models.files.weights import check_weights, check_whole
from rlhf.models.packing.attention import attending
from rlhf.models.piece import ModelPiece as ModelPiece, attention_of as attention_of
from rlhf.models.scalar import ScalarModel
from rlhf.randomness import generator, seeded_global_rng
from rlhf.rundir.errors import ModelError

transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()


class TinyModel(ModelPiece):
    """A Llama or GPT-2 from its configuration, with random weights that depend on `seed` alone."""

    def __init__(
        self,
        *,
        architecture: str,
        hidden_size: int,
        layers: int,
        heads: int,
        seed: int,
        attention: str = "auto",
    ) -> None:
        self.architecture, self.hidden_size, self.layers = architecture, hidden_size, layers
        self.heads, self.seed, self.attention = heads, seed, attention

    def identity(self) -> dict[str, Any]:
        return {k: value for k, value in vars(self).items() if (k, value) != ("attention", "auto")}

    def tokenizer(self, train: Callable[[], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
        return train()

    def causal_lm(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        with seeded_global_rng(self.seed, "model", "init"):
            model = AutoModelForCausalLM.from_config(self.config(tokenizer), **attention_of(self))
        return without_dropout(attending(model, attention_of(self)))

    def config(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
        ids = {
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": tokenizer.bos_token_id,
        }
        if self.architecture == "gpt2":
            return GPT2Config(
                vocab_size=len(tokenizer),
                n_embd=self.hidden_size,
                n_layer=self.layers,
                n_head=self.heads,
                **ids,
            )
        return LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.hidden_size,
            intermediate_size=4 * self.hidden_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            tie_word_embeddings=True,
            **ids,
        )


class HFModel(ModelPiece):
    """Any causal LM: a directory or a hub name. Code that comes with a model runs only where
    `trust_remote_code` says so."""

    key = "model.path"  # of the config, that has its path

    def __init__(
        self,
        *,
        path: str,
        revision: str | None,
        dtype: str,
        trust_remote_code: bool,
        attention: str = "auto",
    ) -> None:
        self.path, self.revision, self.dtype = path, revision, dtype
        self.trust_remote_code, self.attention = trust_remote_code, attention

    def identity(self) -> dict[str, Any]:
        """A local directory is known by its files' content, a hub model by name and revision."""
        files, how = folder_identity(self.path), {"dtype": self.dtype, **attention_of(self)}
        if files is None:
            return {"path": self.path, "revision": self.revision, **how}
        return {"files": files, **how}

    def tokenizer(self, train: Callable[[], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
        with self._had():
            return load_tokenizer(
                self.path, revision=self.revision, trust_remote_code=self.trust_remote_code
            )

    def config(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
        with self._had():
            return load_config(
                self.path, revision=self.revision, trust_remote_code=self.trust_remote_code
            )

    def stop_ids(self) -> list[int]:
        from_where = {"revision": self.revision, "trust_remote_code": self.trust_remote_code}
        with self._had(), loading(self.path):
            configs: list[Any] = [AutoConfig.from_pretrained(self.path, **from_where)]
            with suppress(OSError):  # not every model has a generation_config.json
                own = GenerationConfig.from_pretrained(self.path, revision=self.revision or "main")
                configs.insert(0, own)
        return eos_ids(*configs)

    @contextmanager
    def _had(self) -> Iterator[None]:
        """
        Raises:
            ModelError: the files of the model cannot be had, or are not what they should be.
        """
        try:
            yield
        except ModelError as error:
            raise ModelError([f"{self.key}={fault}" for fault in error.faults]) from error
        except (OSError, ValueError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError([f"{self.key}={self.path}: {reason}"]) from error

    def causal_lm(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        return load_causal_lm(
            self.path,
            **loading_as(self.dtype),
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
            **attention_of(self),
        )


def parameter_count(config: PreTrainedConfig) -> int | None:
    """The parameters of the causal LM of a configuration, which is not made for it; None where its
    class is not one of transformers'."""
    model = outline(config)
    return None if model is None else int(model.num_parameters())


def outline(config: PreTrainedConfig, *, scalar: bool = False) -> PreTrainedModel | None:
    """The causal LM of a configuration, or its sequence classifier, without weights; None where
    transformers has no such class."""
    auto = AutoModelForSequenceClassification if scalar else AutoModelForCausalLM
    try:
        with seeded_global_rng(0, "count"), torch.device("meta"):
            model: PreTrainedModel = auto.from_config(config)  # type: ignore[no-untyped-call]
    except ValueError:  # code that comes with a model is not run for a count
        return None
    return model


def load_config(path: str | Path, **kwargs: Any) -> PreTrainedConfig:
    with loading(path):
        return AutoConfig.from_pretrained(str(path), **kwargs)  # type: ignore[no-any-return]


def load_tokenizer(path: str | Path, **kwargs: Any) -> PreTrainedTokenizerBase:
    with loading(path):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(path), **kwargs)
    return tokenizer


def load_causal_lm(path: str | Path, **kwargs: Any) -> PreTrainedModel:
    return _loaded(AutoModelForCausalLM, path, **kwargs)


def load_scalar_model(path: str | Path, **kwargs: Any) -> ScalarModel:
    """A reward model's directory: as `ScalarModel.save` wrote it, or any other with one label."""
    return ScalarModel(_loaded(AutoModelForSequenceClassification, path, **kwargs))


def _loaded(auto: Any, path: str | Path, **kwargs: Any) -> PreTrainedModel:
    """
    Raises:
        ModelError: the files lack weights of the model, which would be random ones.
        NonFinite: a weight is NaN or infinite.
    """
    with loading(path):
        model, report = auto.from_pretrained(
            str(path), use_safetensors=True, output_loading_info=True, **kwargs
        )
    check_whole(model, report["missing_keys"], path)
    check_weights(model, path)
    return without_dropout(attending(model, kwargs))


def scalar_model_from(
    causal_lm: PreTrainedModel, *, seed: int, head_std: float | None = None
) -> ScalarModel:
    """The backbone of `causal_lm` (copied) under a new scalar head.

    The head's weights are normal with std 1 / sqrt(hidden + 1), as in Stiennon et al. 2020 (arXiv
    2009.01325), or `head_std`.
    """
    config = type(causal_lm.config).from_dict({**causal_lm.config.to_dict(), "num_labels": 1})
    asked = {"attn_implementation": causal_lm.config._attn_implementation}
    with seeded_global_rng(seed, "head", "init"):
        model = AutoModelForSequenceClassification.from_config(
            config, dtype=causal_lm.dtype, **asked
        )
    model.base_model.load_state_dict(causal_lm.base_model.state_dict())
    scalar = ScalarModel(without_dropout(attending(model, asked)))
    weight = scalar.head.weight
    std = (weight.shape[1] + 1) ** -0.5 if head_std is None else head_std
    with torch.no_grad():
        weight.copy_(torch.randn(weight.shape, generator=generator(seed, "head", "weight")) * std)
    return scalar


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """Dropout would make the first KL of a run non-zero and the ratio of PPO noisy: off, in
    rollouts and in updates alike."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010 (a plain attribute, not a parameter)
    model.eval()
    return model
