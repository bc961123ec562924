"""The engines by the names that `generation.engine` knows them by."""

from collections.abc import Callable
from functools import partial
from typing import Any

from rlhf.rollout.engines.hf import HFEngine
from rlhf.rollout.engines.local import LocalEngine
from rlhf.rollout.engines.torch import TorchEngine

ENGINES: dict[str, type[LocalEngine]] = {"torch": TorchEngine, "hf": HFEngine}


def engine_of(generation: Any) -> Callable[..., LocalEngine]:
    """What makes the engine of a config's section `generation`, without its limits."""
    if generation.engine == "torch" and generation.graphs:
        return partial(TorchEngine, fixed=None)
    return ENGINES[generation.engine]
