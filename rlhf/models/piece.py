"""What a piece of conf/model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from rlhf.models.files.folder import saving


def attention_of(piece: Any) -> dict[str, Any]:
    """How transformers is told which attention a network has, for `from_pretrained` and
    `from_config`. Nothing, where it chooses. No config.json holds it."""
    name = getattr(piece, "attention", "auto")
    return {} if name == "auto" else {"attn_implementation": name}


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
