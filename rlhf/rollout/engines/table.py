"""The engines by the names that `generation.engine` knows them by."""

from rlhf.rollout.engines.hf import HFEngine
from rlhf.rollout.engines.local import LocalEngine
from rlhf.rollout.engines.torch import TorchEngine

ENGINES: dict[str, type[LocalEngine]] = {"torch": TorchEngine, "hf": HFEngine}
