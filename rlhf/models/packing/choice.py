"""Which layout a network is read in: what its class and its attention allow, and a probe saw."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from rlhf.models.packing.attention import HALF, NAME, has_varlen
from rlhf.models.packing.layouts import Layout

PROBED = "probed_layout"  # the attribute of a backbone: the layout that the probe left it


def network_of(model: nn.Module) -> PreTrainedModel:
    """The network that a policy is, or that a view reads."""
    return cast(PreTrainedModel, getattr(model, "network", model))


def probed(network: PreTrainedModel) -> Layout | None:
    """What the probe left the network; None: it was not asked."""
    return cast("Layout | None", getattr(network.base_model, PROBED, None))


def layout_of(network: PreTrainedModel) -> Layout:
    """The layout that a network is read in."""
    layout = probed(network) or Layout.PACKED
    rows = network.config._attn_implementation == NAME and _gains(network)
    if layout is Layout.PACKED and not rows:
        layout = Layout.CHUNKS
    # of a network in parts on the ranks all of them must read equally often
    if layout is Layout.CHUNKS and isinstance(network.base_model, FSDPModule):
        return Layout.PADDED
    return layout


def shares_beginnings(network: PreTrainedModel) -> bool:
    """Whether rows that begin alike are read with each beginning once, where their last tokens
    alone are asked for."""
    return network.device.type == "cpu" and layout_of(network) is Layout.PACKED


def reading(*models: nn.Module) -> AbstractContextManager[None]:
    """Around passes that learn nothing: none of their tensors may be part of one that does. On a
    CPU torch then keeps no account of them, which is a tenth of a small network's time. A network
    that may keep tensors for later passes (by code that comes with it, say) has no gradient, and no
    more is said to it."""
    known = all(
        type(network).__module__.startswith("transformers.")
        and network.device == torch.device("cpu")
        and layout_of(network) is Layout.PACKED
        and not getattr(network, "is_quantized", False)
        and not isinstance(network.base_model, FSDPModule)
        for network in map(network_of, models)
    )
    return torch.inference_mode() if known else torch.no_grad()


def _gains(network: PreTrainedModel) -> bool:
    """Whether attention row by row is the faster: on a GPU only in one kernel, which has 16
    bits."""
    device = network.device.type
    if device == "cpu":
        return True
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else network.dtype
    return device == "cuda" and dtype in HALF and has_varlen()
