"""The last block's MLP is computed where a network is read, and nowhere else: no later layer looks
at what it makes of other tokens."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

ATTENTION = ("self_attn", "attn", "attention")  # what blocks call theirs


class Trim:
    """Hooks of a last block's attention and of its MLP, which is behind it. `wanted` [n] among the
    attention's arguments are the positions of the only row that are read; the MLP then gives 0 at
    all others. Without it nothing changes."""

    def __init__(self) -> None:
        self.wanted: Tensor | None = None
        self.length = 0

    def begin(self, block: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Each time, that in which gradient checkpointing computes the block again among them."""
        self.wanted = named.get("wanted")

    def before(self, mlp: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.wanted is None:
            return None
        (states,) = arguments
        self.length = states.shape[1]
        return (states[:, self.wanted],)

    def after(self, mlp: nn.Module, arguments: tuple[Any, ...], made: Any) -> Tensor | None:
        if self.wanted is None:
            return None
        whole: Tensor = made.new_zeros(1, self.length, made.shape[-1])
        return whole.index_copy(1, self.wanted, made)


def trimmed(network: PreTrainedModel) -> PreTrainedModel:
    """The network, which computes its last block's MLP where it is `wanted` alone; one that has no
    such MLP, or has experts in it, as it is."""
    blocks = [m for m in network.modules() if isinstance(m, GradientCheckpointingLayer)]
    parts = dict(blocks[-1].named_children()) if blocks else {}
    attention, mlp = next((parts[n] for n in ATTENTION if n in parts), None), parts.get("mlp")
    if attention is None or mlp is None or hasattr(mlp, "experts"):
        return network
    hooks = mlp._forward_hooks.values()
    if not any(isinstance(getattr(hook, "__self__", None), Trim) for hook in hooks):
        trim = Trim()
        attention.register_forward_pre_hook(trim.begin, with_kwargs=True)
        mlp.register_forward_pre_hook(trim.before)
        mlp.register_forward_hook(trim.after)
    return network
