"""The reference model that the KL is to, and what happens to it after each PPO iteration."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rlhf.kl.properties import REFERENCES


class Reference:
    """The base of ours; one's own may be any object with this method."""

    def after_iteration(self, reference: nn.Module, policy: nn.Module, iteration: int) -> None:
        """Change `reference` in place, without gradient. `iteration` is the number of iterations
        finished, from 1."""


class SFT(Reference):
    """The policy that the run started from, frozen."""

    properties = REFERENCES["sft"]


class EMA(Reference):
    """Polyak average: ref <- decay * ref + (1 - decay) * policy, once an iteration."""

    properties = REFERENCES["ema"]

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(
                f"decay must be at least 0 and below 1 (1 would be the SFT reference), got {decay}"
            )
        self.decay = decay

    @torch.no_grad()
    def after_iteration(self, reference: nn.Module, policy: nn.Module, iteration: int) -> None:
        for ref, new in _pairs(reference, policy):
            if ref.is_floating_point():
                ref.lerp_(new.to(ref), 1 - self.decay)
            else:
                ref.copy_(new)


class Synced(Reference):
    """A copy of the policy, renewed after every `every` iterations."""

    properties = REFERENCES["synced"]

    def __init__(self, every: int) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.every = every

    @torch.no_grad()
    def after_iteration(self, reference: nn.Module, policy: nn.Module, iteration: int) -> None:
        if iteration % self.every == 0:
            for ref, new in _pairs(reference, policy):
                ref.copy_(new)


def _pairs(reference: nn.Module, policy: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Parameters and buffers of the two by name; tied weights once. Raises ValueError if the
    names differ."""
    mine = {**dict(reference.named_parameters()), **dict(reference.named_buffers())}
    theirs = {**dict(policy.named_parameters()), **dict(policy.named_buffers())}
    if mine.keys() != theirs.keys():
        raise ValueError(
            f"reference and policy are different models: {sorted(mine.keys() ^ theirs.keys())[:5]}"
        )
    return ((tensor, theirs[name]) for name, tensor in mine.items())
