"""How Lightning trains on the run's devices: the arguments of its Trainer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy, Strategy

from rlhf.config.schema import Trainer
from rlhf.modules.base import StageModule
from rlhf.modules.precision.plugin import precision_of
from rlhf.ranks.group import Ranks
from rlhf.rundir.words import seconds_of
from rlhf.stages.ranks.sharded import ShardedStrategy


class Together(ClusterEnvironment):
    """Ranks that are there already and have their process group: Lightning starts none, and reads
    no environment variables of Slurm's or torchrun's."""

    def __init__(self, ranks: Ranks, devices: int) -> None:
        super().__init__()
        self.ranks, self.devices = ranks, devices

    creates_processes_externally = True
    main_address = "127.0.0.1"  # of a group that would have to be made
    main_port = 0

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.ranks.size

    def set_world_size(self, size: int) -> None:
        assert size == self.ranks.size

    def global_rank(self) -> int:
        return self.ranks.rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == self.ranks.rank

    def local_rank(self) -> int:
        return self.ranks.rank % self.devices

    def node_rank(self) -> int:
        return self.ranks.rank // self.devices


def devices(settings: Trainer, module: StageModule, ranks: Ranks) -> dict[str, Any]:
    """Arguments of Lightning's Trainer; to `plugins` others may be added."""
    precision = precision_of(settings.precision)  # a plugin stands in the place of the name
    shared = {
        "accelerator": settings.accelerator,
        "precision": settings.precision if precision is None else None,
    }
    own = [] if precision is None else [precision]
    if ranks.size == 1:
        return {**shared, "devices": 1, "plugins": [LightningEnvironment(), *own]}
    return {
        **shared,
        "devices": settings.devices,
        "num_nodes": settings.num_nodes,
        "strategy": _strategy(settings, module),
        "plugins": [Together(ranks, settings.devices), *own],
    }


def _strategy(settings: Trainer, module: StageModule) -> Strategy:
    timeout = timedelta(seconds=seconds_of(settings.timeout) or 0.0)
    if settings.strategy == "fsdp":
        return ShardedStrategy(
            data_parallel_size=settings.ranks,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
            timeout=timeout,
        )
    return DDPStrategy(timeout=timeout, find_unused_parameters=module.leaves_some_untrained)
