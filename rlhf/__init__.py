"""KL-regularised RLHF: experiments from configs. `compose` and `run` do from Python what the
command `rlhf` does."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlhf.config.compose import compose as compose, validate as validate
    from rlhf.runs.execute import run as run

__version__ = "0.2.0"
__all__ = ["__version__", "compose", "run", "validate"]

_HOMES = {
    "compose": "rlhf.config.compose",
    "validate": "rlhf.config.compose",
    "run": "rlhf.runs.execute",
}


def __getattr__(name: str) -> Any:
    """Imports on first use: `import rlhf` stays free of torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rlhf' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What a notebook completes: what is imported on first use, too."""
    modules = (name for name, value in globals().items() if isinstance(value, ModuleType))
    return sorted({*__all__, *modules})
