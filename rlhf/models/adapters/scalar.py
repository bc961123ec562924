"""A role that shares a backbone and scores: a module that owns a head, or a head and an adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from rlhf.models.adapters.backbone import SharedBackbone, keeping_type
from rlhf.models.adapters.views import View
from rlhf.models.scalar import Scalar
from rlhf.randomness import generator

HEAD = "scalar_head.weight"


class ScalarView(View, Scalar):
    """A reward or value model: a scalar head of its own, in float32 and without bias. It reads the
    network's states under an adapter, or under none."""

    score_mean, score_std = 0.0, 1.0

    def __init__(self, shared: SharedBackbone, *adapters: str, seed: int = 0) -> None:
        """The head's weights are normal with std 1 / sqrt(hidden + 1), as in Stiennon et al. 2020
        (arXiv 2009.01325), from `seed`."""
        super().__init__(shared, *adapters)
        config = shared.model.config.get_text_config()
        size, random = config.hidden_size, generator(seed, "head", "weight")
        weight = torch.randn((1, size), generator=random) * (size + 1) ** -0.5
        kind = {"bias": False, "device": shared.model.device, "dtype": torch.float32}
        head = skip_init(nn.Linear, size, 1, **kind)
        with torch.no_grad():
            head.weight.copy_(weight)
        self.add_module("scalar_head", head.requires_grad_(False).train(self.training))

    @property
    def head(self) -> nn.Linear:
        return cast(nn.Linear, self.scalar_head)

    def states_at(self, tokens: Tensor, attention: Tensor, keep: Tensor) -> Tensor:
        with self.shared.using(*self.adapters):
            return super().states_at(tokens, attention, keep)

    def states(self, tokens: Tensor, attention: Tensor) -> Tensor:
        with self.shared.using(*self.adapters):
            return super().states(tokens, attention)

    @property
    def normalization(self) -> tuple[float, float]:
        return self.score_mean, self.score_std

    def set_normalization(self, mean: float, std: float) -> None:
        self.score_mean, self.score_std = mean, std

    def start_from(self, other: Self) -> None:
        super().start_from(other)
        self.set_normalization(*other.normalization)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.head._apply(lambda tensor: keeping_type(fn, tensor))
        return self
