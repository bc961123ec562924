"""Files of settings as OmegaConf reads them, with a parser in C and each once in a process: parsing
in Python was a third of the time that a config takes to be composed."""

from __future__ import annotations

import copy
import os
from functools import cache
from typing import IO, Any

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

_plain = OmegaConf.load
_parsed: dict[tuple[Any, ...], Any] = {}


def parsed(file: Any) -> Any:
    """What `OmegaConf.load` gives of an open file. One that is as it was when it was read before,
    the same file of the same time and size, is not read again."""
    try:
        now = os.fstat(file.fileno())
    except (AttributeError, OSError):  # a path, or a file within an archive
        return _plain(file)
    key = (file.name, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    if key not in _parsed:
        _parsed[key] = _read(file)
    return copy.deepcopy(_parsed[key])


def _read(file: IO[str]) -> Any:
    if loader := _quick_loader():
        try:
            value = yaml.load(file, Loader=loader)
        except yaml.YAMLError:
            value = ""
        if value is None or isinstance(value, (dict, list)):
            return OmegaConf.create({} if value is None else value)
        file.seek(0)  # a fault, and in the usual words
    return _plain(file)


@cache
def _quick_loader() -> Any:
    """OmegaConf's own loader, its numbers and its refusal of a key given twice, on libyaml's
    parser; None where PyYAML was built without that."""
    if not yaml.__with_libyaml__:
        return None
    from yaml.constructor import SafeConstructor
    from yaml.cyaml import CParser
    from yaml.resolver import Resolver

    class QuickLoader(CParser, get_yaml_loader()):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            CParser.__init__(self, stream)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    return QuickLoader
