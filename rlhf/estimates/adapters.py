"""LoRA adapters beside a frozen network: which layers have one, and their parameters."""

from __future__ import annotations

from collections.abc import Collection

from rlhf.config.schema import Config
from rlhf.estimates.passes import width
from rlhf.estimates.shape import ModelShape

# what PEFT, and architectures, call the linear layers of a block
NAMES = {
    **{f"{name}_proj": (name,) for name in ("q", "k", "v", "o", "gate", "up", "down")},
    "c_attn": ("q", "k", "v"),
    "query_key_value": ("q", "k", "v"),
    "c_proj": ("o", "down"),
    "c_fc": ("up",),
    "dense": ("o",),
    "dense_h_to_4h": ("up",),
    "dense_4h_to_h": ("down",),
}
ALL = frozenset({"q", "k", "v", "o", "gate", "up", "down"})


def adapted(targets: str | Collection[str]) -> frozenset[str]:
    """The layers that `adapter.targets` means: all-linear, PEFT's default (queries and values), or
    those that are listed. A name that is not known here counts as none."""
    if targets == "all-linear":
        return ALL
    if targets == "default":
        return frozenset({"q", "v"})
    names = [targets] if isinstance(targets, str) else targets
    return frozenset(part for name in names for part in NAMES.get(name.rpartition(".")[2], ()))


def size_of_adapter(shape: ModelShape, cfg: Config) -> int:
    """Parameters of an adapter of the run."""
    return parameters(shape, adapted(cfg.adapter.targets), cfg.adapter.r)


def parameters(shape: ModelShape, layers: Collection[str], r: int) -> int:
    """layers r (in + out) of each: A [r, in] and B [out, r]."""
    queries, keys = shape.heads * shape.head_size, shape.kv_width // 2
    out = {"q": queries, "k": keys, "v": keys, "gate": shape.inner, "up": shape.inner}
    there = layers if shape.gated else {*layers} - {"gate"}
    each = sum(width(shape, name) + out.get(name, shape.hidden) for name in there)
    return r * shape.layers * each
