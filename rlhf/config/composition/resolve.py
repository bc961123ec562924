"""From OmegaConf to plain values, and the two resolvers that name directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from functools import reduce
from operator import getitem
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rlhf.config import naming
from rlhf.config.allow import targets
from rlhf.config.composition.environment import read_twice
from rlhf.config.composition.hydra_internals import class_in_file
from rlhf.config.composition.judged.code import write_code
from rlhf.config.composition.walk import Fault, plain_value, words_of
from rlhf.config.pieces.base import BY_ADDRESS
from rlhf.config.stages import ASIDE

__all__ = ["Fault", "name_sweep", "own_names", "register_resolvers", "resolve"]


def resolve(
    config: DictConfig,
    without: tuple[str, ...] = ("hydra",),
    settled: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[Fault]]:
    """The config as dicts, lists and scalars, and a fault for each `???` and each broken
    interpolation. Secrets of the environment stay `${oc.env:KEY}`.

    Args:
        without: sections that are left out.
        settled: plain values of sections that are known already.
    """
    faults: list[Fault] = []
    known = settled or {}

    def read(wrong: list[Fault]) -> dict[str, Any]:
        keys = [key for key in config if key not in without]
        return {
            str(key): known[str(key)] if key in known else plain_value(config, key, str(key), wrong)
            for key in keys
        }

    before = _names.set((config, known, []))
    try:
        plain = read_twice(lambda: read(faults), again=lambda: read([]))
    finally:
        _names.reset(before)
    for where, name in own_names(config, plain).items():
        reduce(getitem, where, plain).setdefault("_name_", name)
    write_code(plain)
    return plain, faults


def own_names(config: DictConfig, plain: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    """The user's own pieces and the names of the YAMLs that they came from, by where they stand.
    Only Hydra knows these names, so they are written down beside the class.

    A class that is not its YAML's, for it was set by itself or in an experiment, has none: two
    classes never go by one name.
    """
    runtime: Any = OmegaConf.select(config, "hydra.runtime", default=None) or {}
    chosen = {}  # where it stands -> (its group, the option)
    for choice, option in runtime.get("choices", {}).items():
        group, _, package = str(choice).partition("@")
        chosen[package or group.replace("/", ".")] = (group, str(option))
    names = {}
    for where, target in targets(plain):
        group, option = chosen.get(".".join(where), ("", ""))
        if not option or str(target) in BY_ADDRESS:
            continue
        if target == class_in_file(f"{group}/{option}", runtime.config_sources):
            names[where] = option
    return names


# The config that is being resolved, its settled sections, and its run's name once that is known:
# `paths` asks for it more than once.
_names: ContextVar[tuple[DictConfig, Mapping[str, Any], list[str]]] = ContextVar("names")


def _run_name(*, _root_: DictConfig) -> str:
    root, settled, names = _names.get((None, {}, []))
    if root is not _root_:
        settled, names = {}, []
    if not names:
        plain, _ = resolve(_root_, without=ASIDE, settled=settled)
        try:
            names.append(naming.run_name(plain))
        except (KeyError, TypeError):
            names.append("unnamed")  # the config lacks what names it; validation says so
    return names[0]


def _sweep_name(*, _root_: DictConfig) -> str:
    """Kept in the config's cache, which Hydra hands from a sweep to its jobs: their own
    overrides would give another name."""
    overrides = OmegaConf.select(_root_, "hydra.overrides.task", default=None)
    if overrides is None:
        return naming.sweep_name({"study": _root_.get("study"), "sweep": _root_.get("sweep")}, [])
    cache = OmegaConf.get_cache(_root_)["rlhf.sweep_name"]
    if "name" not in cache:
        params = OmegaConf.select(_root_, "hydra.sweeper.params", default=None) or {}
        grid = [*words_of(overrides), *(f"{key}={value}" for key, value in params.items())]
        cache["name"] = naming.sweep_name({"study": _root_.study, "sweep": _root_.sweep}, grid)
    return str(cache["name"])


def name_sweep(config: DictConfig, overrides: Sequence[str]) -> None:
    """Gives the draft of a job's config its sweep's name, which follows from the overrides of the
    sweep and not from the job's own."""
    # one that cannot be read is a fault that the job's own check names
    lenient: dict[str, Any] = {"default": None, "throw_on_resolution_failure": False}
    plain = {key: OmegaConf.select(config, key, **lenient) for key in ("study", "sweep")}
    OmegaConf.get_cache(config)["rlhf.sweep_name"]["name"] = naming.sweep_name(plain, overrides)


def _first(*values: Any) -> Any:
    """The first value that is not null."""
    return next((value for value in values if value is not None), None)


def register_resolvers() -> None:
    OmegaConf.register_new_resolver("rlhf.first", _first, replace=True)
    OmegaConf.register_new_resolver("rlhf.run_name", _run_name, replace=True)
    OmegaConf.register_new_resolver("rlhf.sweep_name", _sweep_name, replace=True)
