"""The plugins that are installed: found by their entry points, without importing any that names
its package alone. One that is broken is left out and said so; it never stops a command."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

from rlhf.config.plugins.plugin import Plugin
from rlhf.imports import spec_of

GROUP = "rlhf.plugins"
CONF = "conf"  # the folder of a package that names no other
# whose classes and functions no plugin may open to configs: ours, Python's, and the two that stand
# for code that comes with a model and for commands that a launcher runs
CLOSED = {"rlhf", "hydra", "hydra_plugins", "transformers_modules", *sys.stdlib_module_names}


@dataclass(frozen=True)
class Installed:
    """An entry point: what it brings, or what is wrong with it."""

    name: str
    distribution: str
    version: str
    value: str
    conf: Path | None = None
    targets: tuple[str, ...] = ()
    fault: str = ""
    yamls: tuple[str, ...] = field(default=(), repr=False)  # relative to `conf`

    def __str__(self) -> str:
        return f"plugin {self.name} of {self.distribution} {self.version}".rstrip()


def installed() -> tuple[Installed, ...]:
    """Every plugin on Python's path, in the order of their distributions' names, the broken too.

    The working directory does not count, although Python's path may hold it: what lies there is
    not installed.
    """
    return _installed(*searched())


def searched() -> tuple[tuple[str, ...], str]:
    """Python's path and the working directory, on which the answer depends."""
    try:
        return tuple(sys.path), os.getcwd()
    except FileNotFoundError:  # it was deleted
        return tuple(sys.path), ""


@lru_cache(maxsize=8)
def _installed(path: Sequence[str], here: str) -> tuple[Installed, ...]:
    found: dict[str, list[Installed]] = {}
    for distribution in distributions(path=[place for place in path if place not in ("", here)]):
        try:
            text = distribution.read_text("entry_points.txt") or ""
            if GROUP not in text:
                continue
            found.setdefault(distribution.name, [*_read(distribution)])
        except Exception as error:  # another package's broken metadata is not ours to fail by
            place = getattr(distribution, "_path", "a distribution")
            fault = f"its metadata cannot be read: {error!r}"
            found.setdefault(str(place), [Installed("?", str(place), "", "", fault=fault)])
    return tuple(plugin for name in sorted(found) for plugin in found[name])


def _read(distribution: Distribution) -> Iterator[Installed]:
    points = distribution.entry_points.select(group=GROUP)
    for point in sorted(points, key=lambda each: each.name):
        named = (point.name, distribution.name, distribution.version, point.value)
        try:
            conf, targets = _declared(point)
            _check(conf, targets)
            files = sorted(str(file.relative_to(conf)) for file in conf.rglob("*.yaml"))
            yield Installed(*named, conf, targets, yamls=tuple(files))
        except Exception as error:  # it may run any code of the package's
            fault = str(error) if isinstance(error, PluginFault) else repr(error)
            yield Installed(*named, fault=fault)


class PluginFault(ValueError):
    """What is wrong with a plugin, in a sentence."""


def _declared(point: EntryPoint) -> tuple[Path, tuple[str, ...]]:
    """The folder of its config groups and the packages that it allows."""
    if not re.fullmatch(r"\w+(\.\w+)*(\s*:\s*\w+(\.\w+)*)?", point.value.strip()):
        raise PluginFault(f"{point.value!r} is no package and no module:name")
    if point.attr:
        shown = getattr(import_module(point.module), point.attr)
        if not isinstance(shown, Plugin):
            kind = type(shown).__name__
            raise PluginFault(f"{point.value} is a {kind}; expected a rlhf.config.plugins.Plugin")
        if isinstance(shown.targets, str):
            raise PluginFault(f"targets: {shown.targets!r} is a text; expected a list of packages")
        if not Path(shown.conf).is_absolute():
            raise PluginFault(f"conf: {shown.conf}: expected an absolute path, of Path(__file__)")
        return Path(shown.conf), tuple(shown.targets)
    try:
        spec = spec_of(point.module)
    except KeyError:  # Python looks for the parent of a namespace package, which is not imported
        spec = None
    if spec is None or spec.origin is None:
        raise PluginFault(f"there is no module {point.module}, or no __init__.py in its folder")
    if not spec.submodule_search_locations:
        raise PluginFault(
            f"{point.module} is a module; expected a package with a folder {CONF} or, as"
            " module:name, a rlhf.config.plugins.Plugin"
        )
    return Path(next(iter(spec.submodule_search_locations))) / CONF, (point.module,)


def _check(conf: Path, targets: tuple[str, ...]) -> None:
    if not conf.is_dir():
        raise PluginFault(f"its folder of config groups is not there: {conf}")
    for target in targets:
        if not all(part.isidentifier() for part in target.split(".")):
            raise PluginFault(f"targets: {target!r} is no name of a package")
        if target.partition(".")[0] in CLOSED:
            raise PluginFault(f"targets: {target} is not the plugin's own to allow")
