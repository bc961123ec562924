"""Which layout a network is read in: what its class and its attention allow, and a probe saw."""

from __future__ import annotations

from typing import TypeAlias, cast

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from rlhf.models.packing.attention import HALF, NAME, has_varlen
from rlhf.models.packing.layouts import Layout

# a backbone's class, its attention, the kind of its device
Kind: TypeAlias = tuple[type[nn.Module], str, str]
# of the networks of a kind: the layout that the probe left them
PROBED: dict[Kind, Layout] = {}


def network_of(model: nn.Module) -> PreTrainedModel:
    """The network that a policy is, or that a view reads."""
    return cast(PreTrainedModel, getattr(model, "network", model))


def layout_of(network: PreTrainedModel) -> Layout:
    """The layout that a network is read in."""
    probed = next((PROBED[kind] for kind in _kinds(network) if kind in PROBED), Layout.PACKED)
    if probed is not Layout.PACKED:
        return probed
    if network.config._attn_implementation == NAME and _gains(network):
        return Layout.PACKED
    # of a network in parts on the ranks all of them must read equally often
    return Layout.PADDED if isinstance(network.base_model, FSDPModule) else Layout.CHUNKS


def shares_beginnings(network: PreTrainedModel) -> bool:
    """Whether rows that begin alike are read with each beginning once, where their last tokens
    alone are asked for."""
    return network.device.type == "cpu" and layout_of(network) is Layout.PACKED


def kind_of(network: PreTrainedModel) -> Kind:
    return next(iter(_kinds(network)))


def _kinds(network: PreTrainedModel) -> list[Kind]:
    """The network's kind, and those of its class's parents: one that is cut has a class of its
    own."""
    rest = (str(network.config._attn_implementation), network.device.type)
    return [(parent, *rest) for parent in type(network.base_model).__mro__]


def _gains(network: PreTrainedModel) -> bool:
    """Whether attention row by row is the faster: on a GPU only in one kernel, which has 16
    bits."""
    device = network.device.type
    if device == "cpu":
        return True
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else network.dtype
    return device == "cuda" and dtype in HALF and has_varlen()
