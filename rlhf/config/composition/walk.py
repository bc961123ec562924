"""A composed config as dicts, lists and scalars."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

MISSING = "???"
_ABOUT = re.compile(r"^\w+ raised while resolving interpolation: ")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `where` is the dotted key, with its value where that helps; empty
    if the reason says it."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else self.reason

    @property
    def key(self) -> str:
        return self.where.partition("=")[0]


def plain_value(node: Any, key: Any, where: str, faults: list[Fault]) -> Any:
    """The value of a node's key, interpolations followed. What cannot be resolved is `???` and
    a fault."""
    try:
        if not OmegaConf.is_missing(node, key):
            value = node[key]
        elif OmegaConf.is_interpolation(node, key):
            return MISSING  # the missing value has a fault of its own
        else:
            faults.append(Fault(where, f"needs a value: write {where}=..."))
            return MISSING
    except InterpolationToMissingValueError:
        return MISSING
    except OmegaConfBaseException as error:
        faults.append(Fault(where, _ABOUT.sub("", str(error).splitlines()[0])))
        return MISSING
    if isinstance(value, DictConfig):
        return {k: plain_value(value, k, f"{where}.{k!s}", faults) for k in value}
    if isinstance(value, ListConfig):
        return [plain_value(value, i, f"{where}.{i}", faults) for i in range(len(value))]
    return value


def words_of(overrides: ListConfig) -> list[str]:
    """Words of a command line as they were written: read one by one, Hydra's list would give the
    values of the variables that they name."""
    written: Any = OmegaConf.to_container(overrides, resolve=False)
    return list(map(str, written))
