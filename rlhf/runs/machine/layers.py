"""The layers that `adapter.targets` names, looked for in the files of a model that is here."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import suppress

from rlhf.config.pieces.model import HFModel, TinyModel
from rlhf.config.schema import Config
from rlhf.estimates.saved import folder_of, matrices_in

TINY = {
    "llama": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
}
# matrices that are no linear layers of a block
BESIDE = {"embed_tokens", "wte", "wpe", "embed_in", "embed_out", "lm_head", "score"}


def target_faults(cfg: Config) -> Iterator[str]:
    """A sentence for each name in `adapter.targets` that no layer of the policy's network has. Of
    one whose files are not here nothing is known before it is loaded."""
    targets = cfg.adapter.targets
    if not (cfg.adapter.is_used and isinstance(targets, list)):
        return
    layers = layers_of(cfg)
    short = sorted({name.rpartition(".")[2] for name in layers} - BESIDE)
    for target in targets if layers else ():
        if not any(_means(target, name) for name in layers):
            near = difflib.get_close_matches(target, short, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            yield (
                f"adapter.targets: no layer of the network is called {target}; it has"
                f" {', '.join(short)}{meant}"
            )


def _means(target: str, layer: str) -> bool:
    """True if a target is the end of a layer's name, of which the last part alone may be known."""
    return f".{layer}".endswith(f".{target}") or f".{target}".endswith(f".{layer}")


def layers_of(cfg: Config) -> set[str]:
    """The names of the layers of the policy's network; empty where they are not known."""
    model, path = cfg.model, cfg.sft.path
    if path is None and isinstance(model, TinyModel):
        return {*TINY[model.architecture]}
    if path is not None:
        return _layers_in(path)
    return _layers_in(model.path, model.revision) if isinstance(model, HFModel) else set()


def _layers_in(path: str, revision: str | None = None) -> set[str]:
    with suppress(OSError, ValueError):
        if (folder := folder_of(path, revision)) is not None:
            return matrices_in(folder)
    return set()
