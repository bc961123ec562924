"""What the last block makes of a token alone (its query, its attention's output, its MLP) is
computed where a network is read, and nowhere else: no later layer looks at other tokens."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

ATTENTION = ("self_attn", "attn", "attention")  # what blocks call theirs
# what attention calls its products for a token alone; of keys and values all later tokens read
OF_ONE = ("q_proj", "o_proj", "out_proj")


class Trim:
    """Hooks of a last block's attention, and of parts of it and of the block that follow. `wanted`
    [n] among the attention's arguments are the positions of the only row that are read; these
    parts then give 0 at all others. Without it nothing changes."""

    def __init__(self) -> None:
        self.wanted: Tensor | None = None
        self.length = 0

    def begin(self, block: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Each time, that in which gradient checkpointing computes the block again among them."""
        self.wanted = named.get("wanted")

    def before(self, part: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.wanted is None:
            return None
        (states,) = arguments
        self.length = states.shape[1]
        return (states[:, self.wanted],)

    def after(self, part: nn.Module, arguments: tuple[Any, ...], made: Any) -> Tensor | None:
        if self.wanted is None:
            return None
        whole: Tensor = made.new_zeros(1, self.length, made.shape[-1])
        return whole.index_copy(1, self.wanted, made)


def trimmed(network: PreTrainedModel) -> PreTrainedModel:
    """The network, which computes what its last block makes of a token alone where it is `wanted`;
    one that has no such MLP, or has experts in it, as it is."""
    blocks = [m for m in network.modules() if isinstance(m, GradientCheckpointingLayer)]
    parts = dict(blocks[-1].named_children()) if blocks else {}
    attention, mlp = next((parts[n] for n in ATTENTION if n in parts), None), parts.get("mlp")
    if attention is None or mlp is None or hasattr(mlp, "experts"):
        return network
    hooks = mlp._forward_hooks.values()
    if not any(isinstance(getattr(hook, "__self__", None), Trim) for hook in hooks):
        trim = Trim()
        attention.register_forward_pre_hook(trim.begin, with_kwargs=True)
        for part in (*(m for name, m in attention.named_children() if name in OF_ONE), mlp):
            part.register_forward_pre_hook(trim.before)
            part.register_forward_hook(trim.after)
    return network
