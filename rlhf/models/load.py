"""The only file that makes or loads transformers' models. Every model it gives has dropout off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

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

from rlhf.digests import file_digest
from rlhf.models.eos import eos_ids
from rlhf.models.folder import loading, saving
from rlhf.models.scalar import ScalarModel
from rlhf.models.weights import check_weights
from rlhf.randomness import generator, seeded_global_rng
from rlhf.rundir.errors import ModelError

transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()


class ModelPiece(Protocol):
    """A piece of conf/model: where the policy comes from, what is trained of it, how it is kept."""

    def identity(self) -> dict[str, Any]:
        """All that decides the weights, for the fingerprint."""

    def tokenizer(self, train: Callable[[], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
        """The model's own, or what `train` makes of the data."""

    def config(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig | None:
        """The model's configuration, had without its weights; None: not known before they are."""
        return None

    def stop_ids(self) -> list[int]:
        """Ids that end a response by the model's own files, beside the tokenizer's EOS."""
        return []

    def causal_lm(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        """The model before any training, without dropout."""

    def trainable_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def save(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path
    ) -> None:
        """Writes a directory that transformers loads."""
        with saving(directory, model):
            model.save_pretrained(directory)
            tokenizer.save_pretrained(directory)


class TinyModel(ModelPiece):
    """A Llama or GPT-2 from its configuration, with random weights that depend on `seed` alone."""

    def __init__(
        self, *, architecture: str, hidden_size: int, layers: int, heads: int, seed: int
    ) -> None:
        self.architecture, self.hidden_size, self.layers = architecture, hidden_size, layers
        self.heads, self.seed = heads, seed

    def identity(self) -> dict[str, Any]:
        return dict(vars(self))

    def tokenizer(self, train: Callable[[], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
        return train()

    def causal_lm(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        with seeded_global_rng(self.seed, "model", "init"):
            model = AutoModelForCausalLM.from_config(self.config(tokenizer))
        return without_dropout(model)

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

    def __init__(
        self, *, path: str, revision: str | None, dtype: str, trust_remote_code: bool
    ) -> None:
        self.path, self.revision, self.dtype = path, revision, dtype
        self.trust_remote_code = trust_remote_code

    def identity(self) -> dict[str, Any]:
        """A local directory is known by its files' content, a hub model by name and revision."""
        folder = Path(self.path)
        if not folder.is_dir():
            return {"path": self.path, "revision": self.revision, "dtype": self.dtype}
        files = sorted(
            p
            for p in folder.iterdir()
            if p.suffix in {".json", ".safetensors", ".jinja", ".model", ".gguf", ".txt"}
        )
        return {"files": {p.name: file_digest(p) for p in files}, "dtype": self.dtype}

    def tokenizer(self, train: Callable[[], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
        with self._had():
            return load_tokenizer(
                self.path, revision=self.revision, trust_remote_code=self.trust_remote_code
            )

    def config(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
        with self._had(), loading(self.path):
            config: PreTrainedConfig = AutoConfig.from_pretrained(
                self.path, revision=self.revision, trust_remote_code=self.trust_remote_code
            )
        return config

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
            raise ModelError([f"model.path={fault}" for fault in error.faults]) from error
        except (OSError, ValueError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError([f"model.path={self.path}: {reason}"]) from error

    def causal_lm(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        return load_causal_lm(
            self.path,
            dtype=getattr(torch, self.dtype),
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
        )


def parameter_count(config: PreTrainedConfig) -> int | None:
    """The parameters of the causal LM of a configuration, which is not made for it; None where its
    class is not one of transformers'."""
    try:
        with seeded_global_rng(0, "count"), torch.device("meta"):
            return int(AutoModelForCausalLM.from_config(config).num_parameters())
    except ValueError:  # code that comes with a model is not run for a count
        return None


def load_tokenizer(path: str | Path, **kwargs: Any) -> PreTrainedTokenizerBase:
    with loading(path):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(path), **kwargs)
    return tokenizer


def load_causal_lm(path: str | Path, **kwargs: Any) -> PreTrainedModel:
    with loading(path):
        model = AutoModelForCausalLM.from_pretrained(str(path), use_safetensors=True, **kwargs)
    check_weights(model, path)
    return without_dropout(model)


def load_scalar_model(path: str | Path) -> ScalarModel:
    """A reward model's directory, as `ScalarModel.save` wrote it."""
    with loading(path):
        model = AutoModelForSequenceClassification.from_pretrained(str(path), use_safetensors=True)
    check_weights(model, path)
    return ScalarModel(without_dropout(model))


def scalar_model_from(
    causal_lm: PreTrainedModel, *, seed: int, head_std: float | None = None
) -> ScalarModel:
    """The backbone of `causal_lm` (copied) under a new scalar head.

    The head's weights are normal with std 1 / sqrt(hidden + 1), as in Stiennon et al. 2020 (arXiv
    2009.01325), or `head_std`.
    """
    config = type(causal_lm.config).from_dict({**causal_lm.config.to_dict(), "num_labels": 1})
    with seeded_global_rng(seed, "head", "init"):
        model = AutoModelForSequenceClassification.from_config(config, dtype=causal_lm.dtype)
    model.base_model.load_state_dict(causal_lm.base_model.state_dict())
    scalar = ScalarModel(without_dropout(model))
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
