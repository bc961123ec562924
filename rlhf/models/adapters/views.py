"""The roles that share a backbone: each a module that owns an adapter. (One that scores:
`rlhf.models.adapters.scalar`.)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeAlias, cast

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from rlhf.models.adapters.backbone import Contexts, SharedBackbone


class View(nn.Module):
    """A network as some adapters make it: their sum, in this order.

    The last of them is the view's own: it registers that one's parameters, which are the
    backbone's, by the names of the layers that they stand beside
    (`model.layers.0.self_attn.q_proj.lora_A.weight`), so that two views of one architecture have
    the same names. The backbone is not registered. `train`, `eval` and `to` reach it all the same.
    """

    shared: SharedBackbone
    keeps_float32 = True  # whatever else is brought to 16 bits

    def __init__(self, shared: SharedBackbone, *adapters: str) -> None:
        super().__init__()
        self.__dict__["shared"] = shared  # past nn.Module, which would register it
        self.adapters = adapters
        for name in adapters[-1:]:
            for at, layer in shared.layers_of(name).items():
                place = _place(self, at)
                place.add_module("lora_A", layer.lora_A[name])
                place.add_module("lora_B", layer.lora_B[name])
        self.train(shared.model.training)

    @property
    def network(self) -> PreTrainedModel:
        """The network below, whose layers have the adapters of all roles."""
        return self.shared.model

    def start_from(self, other: Self) -> None:
        """Gives this view's own adapter (and head) the numbers of another's."""
        ours, theirs = ([v.shared.adapters[a] for a in v.adapters[-1:]] for v in (self, other))
        if ours != theirs:
            raise ValueError(f"{self.adapters} is {ours}, {other.adapters} is {theirs}")
        self.load_state_dict(other.state_dict())

    def checkpoint_context_fn(self) -> Contexts:
        """`SharedBackbone.checkpoint_context_fn`."""
        return self.shared.checkpoint_context_fn()

    def train(self, mode: bool = True) -> Self:
        self.shared.train(mode)
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.shared._apply(fn)  # the adapter's parameters are registered there too
        return self


class PolicyView(View):
    """A policy, called as the causal LM that it is; without an adapter, the reference: the network
    itself."""

    def forward(self, *arguments: Any, **named: Any) -> Any:
        with self.shared.using(*self.adapters):
            return self.network(*arguments, **named)

    @property
    def config(self) -> PreTrainedConfig:
        return self.network.config

    @property
    def generation_config(self) -> GenerationConfig | None:
        return self.network.generation_config

    @property
    def dtype(self) -> torch.dtype:
        return self.network.dtype

    @property
    def device(self) -> torch.device:
        return self.network.device

    def get_input_embeddings(self) -> nn.Module:
        return self.network.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module | None:
        return cast("nn.Module | None", self.network.get_output_embeddings())


Policy: TypeAlias = PreTrainedModel | PolicyView


def _place(root: nn.Module, at: str) -> nn.Module:
    for part in at.split("."):
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = cast(nn.Module, root._modules[part])
    return root
