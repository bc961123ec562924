"""Lightning's strategy for models whose weights are cut over the ranks, with checkpoints in one
file that are as one process writes and reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from typing_extensions import override

from rlhf.models.sharding.whole import (
    load_optimizer_state,
    load_weights,
    optimizer_state,
    weights_of,
)


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's own numbers an optimizer's states by all parameters of the module, where one
    process numbers those that are trained; restores them after callbacks were asked what there is;
    and passes over the checkpoint's reader, which executes nothing."""

    restore_checkpoint_after_setup = False
    lightning_restore_optimizer = True

    @override
    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return weights_of(self.lightning_module)

    @override
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        load_weights(self.lightning_module, checkpoint["state_dict"])

    @override
    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return optimizer_state(getattr(optimizer, "_optimizer", optimizer))

    @override
    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            load_optimizer_state(optimizer, state)

    @override
    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        return self.checkpoint_io.load_checkpoint(checkpoint_path, map_location="cpu")
