"""What a network makes of some positions of rows of different length.

Padding, and what stands behind a row's last kept position, does not go through it where its layout
is not `padded`.
"""

from __future__ import annotations

import sys

from torch import Tensor
from transformers import PreTrainedModel, modeling_utils

from rlhf.models.adapters.views import Policy
from rlhf.models.packing.choice import layout_of, network_of
from rlhf.models.packing.layouts import Call, Layout, calls, joined


def logits_at(
    model: Policy, tokens: Tensor, attention: Tensor, keep: Tensor, layout: Layout | None = None
) -> Tensor:
    """The logits at the kept positions, row by row in reading order: [N, V], N = keep.sum(), in
    the model's own precision and with their gradient.

    tokens [B, L] long; attention, keep [B, L] bool. Whatever stands beside a row, and however it
    is padded, its logits are those of the row alone. `layout`: None: the network's.
    """
    network = network_of(model)
    passes = _calls(network, tokens, attention, keep, layout)
    masks = takes_masks(network)
    return joined([_logits(model, call, masks) for call in passes], passes)


def states_at(
    network: PreTrainedModel,
    tokens: Tensor,
    attention: Tensor,
    keep: Tensor,
    layout: Layout | None = None,
) -> Tensor:
    """The backbone's last hidden states at the kept positions: [N, hidden], as `logits_at`."""
    passes = _calls(network, tokens, attention, keep, layout)
    states = [call.kept(network.base_model(**call.named).last_hidden_state) for call in passes]
    return joined(states, passes)


def spread(numbers: Tensor, mask: Tensor) -> Tensor:
    """numbers [N] at the True places of the mask [B, T] in reading order, 0 elsewhere."""
    return numbers.new_zeros(mask.shape).masked_scatter(mask, numbers)


def _calls(
    network: PreTrainedModel, tokens: Tensor, attention: Tensor, keep: Tensor, layout: Layout | None
) -> list[Call]:
    hidden = getattr(network.config.get_text_config(), "hidden_size", 0)
    return calls(layout or layout_of(network), tokens, attention, keep, hidden)


def _logits(model: Policy, call: Call, masks: bool) -> Tensor:
    kept = {"logits_to_keep": call.keep} if masks else {}
    logits: Tensor = model(**call.named, **kept).logits
    if not masks:
        return call.kept(logits)
    return logits.flatten(0, -2)  # of a mask they come without rows


def takes_masks(network: PreTrainedModel) -> bool:
    """Whether its `logits_to_keep` may be a boolean mask: code that comes with a model, and older
    transformers, may know only how many of the last positions to keep."""
    slicing = getattr(modeling_utils, "slice_logits_to_keep", None)
    modules = (vars(sys.modules[kind.__module__]) for kind in type(network).__mro__)
    return slicing is not None and any(slicing is m.get("slice_logits_to_keep") for m in modules)
