"""The shape of a causal LM: the sizes that decide how much memory and time it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    parameters: int  # of the causal LM, a tied head counted once
    vocabulary: int
    hidden: int
    inner: int  # of the MLP
    layers: int
    heads: int
    head_size: int
    kv_heads: int
    positions: int | None  # the most tokens at once; None: any number
    gated: bool  # the MLP has a gate (Llama's SwiGLU), so that fewer of its steps are kept
    tied: bool

    @property
    def kv_width(self) -> int:
        """The numbers of a key and a value together, a token and layer."""
        return 2 * self.kv_heads * self.head_size

    @property
    def backbone(self) -> int:
        """The parameters under a scalar head, which takes the place of one of its own."""
        return self.parameters - (0 if self.tied else self.vocabulary * self.hidden)

    def last(self, count: int) -> int:
        """The parameters of the last `count` layers, all layers having as many."""
        embedding = self.vocabulary * self.hidden
        return (self.backbone - embedding) * count // self.layers


# in transformers' configurations, by what they are here; the first that is there
NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "positions": ("max_position_embeddings", "n_positions", "max_seq_len"),
    "inner": ("intermediate_size", "n_inner", "ffn_dim"),
}


def shape_of(config: Mapping[str, Any], saved: int | None = None) -> ModelShape | None:
    """The shape that a model's `config.json` tells; None where it does not tell enough.

    Args:
        saved: the number of parameters, where files tell it; else it is counted by the config.
    """
    config = {**config, **(config.get("text_config") or {})}
    sizes = {
        key: next((config[name] for name in names if config.get(name) is not None), None)
        for key, names in NAMES.items()
    }
    hidden, layers, heads = sizes["hidden"], sizes["layers"], sizes["heads"]
    if not (hidden and layers and heads and config.get("vocab_size")):
        return None
    kind = config.get("model_type")
    shape = ModelShape(
        parameters=saved or 0,
        vocabulary=config["vocab_size"],
        hidden=hidden,
        inner=sizes["inner"] or 4 * hidden,
        layers=layers,
        heads=heads,
        head_size=config.get("head_dim") or hidden // heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        positions=sizes["positions"],
        gated=kind != "gpt2",
        tied=bool(config.get("tie_word_embeddings", kind == "gpt2")),
    )
    if saved is None and kind not in COUNTED:
        return None
    return shape if saved else replace(shape, parameters=COUNTED[str(kind)](shape))


def _llama(shape: ModelShape) -> int:
    """V h (twice where the head is its own) + layers (2 h a + 2 h k + 3 h i + 2 h) + h: h hidden, i
    inner, a and k the sizes of queries and keys over all heads."""
    h, queries, keys = shape.hidden, shape.heads * shape.head_size, shape.kv_width // 2
    layer = 2 * h * queries + 2 * h * keys + 3 * h * shape.inner + 2 * h
    return shape.vocabulary * h * (1 if shape.tied else 2) + shape.layers * layer + h


def _gpt2(shape: ModelShape) -> int:
    """(V + P) h + layers (4 h^2 + 2 h i + 9 h + i) + 2 h: P positions."""
    h, positions = shape.hidden, shape.positions or 1024
    layer = 4 * h * h + 2 * h * shape.inner + 9 * h + shape.inner
    return (shape.vocabulary + positions) * h + shape.layers * layer + 2 * h


# by model_type: families whose layout is known here
COUNTED: dict[str, Callable[[ModelShape], int]] = {
    "llama": _llama,
    "mistral": _llama,
    "gpt2": _gpt2,
}
