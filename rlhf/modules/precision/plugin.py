"""`trainer.precision=bf16-true` for Lightning."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from pytorch_lightning.plugins.precision import Precision
from torch import nn

from rlhf.modules.base import StageModule
from rlhf.modules.precision.masters import MasterWeights


class Bfloat16(Precision):
    """bfloat16 weights with float32 masters. Lightning's own plugin of this name has no masters,
    rounds buffers too and makes bfloat16 the type of every tensor that a loss creates.

    A checkpoint's `state_dict` holds the masters, of which the roundings are a function. When
    training ends the module has float32 weights again.
    """

    precision = "bf16-true"

    def __init__(self) -> None:
        self._module: StageModule | None = None
        self._unhook: Callable[[], None] = lambda: None

    @property
    def _masters(self) -> MasterWeights:
        assert self._module is not None and self._module.masters is not None
        return self._module.masters

    def convert_module(self, module: nn.Module) -> nn.Module:
        self._module = cast(StageModule, module)
        self._module.masters = MasterWeights(module)
        self._unhook = module.register_state_dict_post_hook(partial(self._write_masters)).remove
        return module

    def _write_masters(
        self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any
    ) -> None:
        for name, weight in module.named_parameters(remove_duplicate=False):
            if weight in self._masters.masters:
                state[f"{prefix}{name}"] = self._masters.masters[weight].detach()

    def connect(
        self, model: nn.Module, optimizers: list[torch.optim.Optimizer], lr_schedulers: list[Any]
    ) -> tuple[nn.Module, list[torch.optim.Optimizer], list[Any]]:
        self._masters.follow()
        for optimizer in optimizers:
            self._masters.take_over(optimizer)
        return model, optimizers, lr_schedulers

    def post_backward(self, tensor: torch.Tensor, module: Any) -> torch.Tensor:
        result: torch.Tensor = super().post_backward(tensor, module)
        # ranks add up their gradients with the last micro-batch of a step, and need them till then
        if module.trainer.world_size == 1:
            self._masters.collect()
        return result

    def _clip_gradients(self, *args: Any, **kwargs: Any) -> None:
        self._masters.collect()
        super()._clip_gradients(*args, **kwargs)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> Any:
        result = super().optimizer_step(*args, **kwargs)
        self._masters.round()
        return result

    def teardown(self) -> None:
        if self._module is not None:
            self._unhook()
            self._masters.release()
            self._module.masters = None
            self._module = None


def precision_of(name: str) -> Precision | None:
    """The plugin of ours for a `trainer.precision`; None where Lightning has what it takes."""
    return Bfloat16() if name == Bfloat16.precision else None
