"""What a network makes of some positions of rows of different length.

Padding, and what stands behind a row's last kept position, need not go through it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel, modeling_utils

from rlhf.functional.sequences import positions

if TYPE_CHECKING:
    from rlhf.models.networks import Policy


def logits_at(model: Policy, tokens: Tensor, attention: Tensor, keep: Tensor) -> Tensor:
    """The logits at the kept positions, row by row in reading order: [N, V], N = keep.sum(), in
    the model's own precision and with their gradient.

    tokens [B, L] long; attention, keep [B, L] bool. Whatever stands beside a row, and however it
    is padded, its logits are those of the row alone.
    """
    network = network_of(model)
    named = padded(tokens, attention)
    if takes_masks(network):
        logits: Tensor = model(**named, logits_to_keep=keep).logits
        return logits
    return cast(Tensor, model(**named).logits)[keep]


def states_at(network: PreTrainedModel, tokens: Tensor, attention: Tensor, keep: Tensor) -> Tensor:
    """The backbone's last hidden states at the kept positions: [N, hidden], as `logits_at`."""
    states: Tensor = network.base_model(**padded(tokens, attention)).last_hidden_state
    return states[keep]


def spread(numbers: Tensor, mask: Tensor) -> Tensor:
    """numbers [N] at the True places of the mask [B, T] in reading order, 0 elsewhere."""
    return numbers.new_zeros(mask.shape).masked_scatter(mask, numbers)


def padded(tokens: Tensor, attention: Tensor) -> dict[str, Any]:
    """What a network is called with for whole rows [B, L].

    Position ids come from the mask, so that padding on the left changes nothing (GPT-2 would number
    the pads).
    """
    return {
        "input_ids": tokens,
        "attention_mask": attention.long(),
        "position_ids": positions(attention),
        "use_cache": False,
    }


def network_of(model: nn.Module) -> PreTrainedModel:
    """The network that a policy is, or that a view reads."""
    return cast(PreTrainedModel, getattr(model, "network", model))


def takes_masks(network: PreTrainedModel) -> bool:
    """Whether its `logits_to_keep` may be a boolean mask: code that comes with a model, and older
    transformers, may know only how many of the last positions to keep."""
    slicing = getattr(modeling_utils, "slice_logits_to_keep", None)
    modules = (vars(sys.modules[kind.__module__]) for kind in type(network).__mro__)
    return slicing is not None and any(slicing is m.get("slice_logits_to_keep") for m in modules)
