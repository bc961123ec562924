"""Hydra's private parts, each behind a function that says what it does: no other file imports
`hydra._internal`, and the version of Hydra is pinned.

What is used: `hydra._internal` itself, attributes that its plugins and its config loader keep for
themselves, and Hydra's order of steps around a job.
tests/config/composition/test_hydra_internals.py fails where a version of Hydra has changed one of
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from hydra._internal import defaults_list
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.default_element import ConfigDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job
from hydra.plugins.plugin import Plugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, base

from rlhf.config.composition.hydra_node import JudgedLoader, guard, guard_job
from rlhf.config.composition.reading.files import parsed
from rlhf.config.composition.walk import words_of

__all__ = ["Hydra", "create_config_search_path", "get_args_parser"]  # and what follows


def new_hydra(name: str, path: ConfigSearchPath) -> Hydra:
    """A Hydra that finds its configs on this path, made the global one."""
    return Hydra.create_main_hydra2(task_name=name, config_search_path=path)


def names_in(loader: Any, group: str, kind: ObjectType) -> list[str]:
    """What a group has, options or groups. The loader's own method copies all that it can see for
    each question: a third of the time that a command with twenty overrides takes to compose."""
    return list(loader.repository.get_group_options(group, kind))


def class_in_file(option: str, sources: Iterable[Any]) -> str:
    """The `_target_` that the file of a group's option itself writes (`kl/controller/mine`); empty
    where it writes none. `sources`: the config's own `hydra.runtime.config_sources`."""
    return str(_written(_repository(sources).load_config(option)).get("_target_", ""))


def settings_in_files(option: str, sources: Iterable[Any]) -> dict[str, Any]:
    """What a group's option has by its file, or as a plugin has stored it, and by those of the
    same group that its defaults list begins with."""
    return _with_defaults(option, _repository(sources))


def _with_defaults(option: str, repository: ConfigRepository) -> dict[str, Any]:
    loaded, settings = repository.load_config(option), dict[str, Any]()
    for each in (loaded.defaults_list if loaded else None) or ():
        if isinstance(each, ConfigDefault) and not each.is_self():
            beside = f"{option.rpartition('/')[0]}/{each.path}"
            path = str(each.path)
            settings |= _with_defaults(path[1:] if path.startswith("/") else beside, repository)
    return settings | _written(loaded)


def _repository(sources: Iterable[Any]) -> ConfigRepository:
    path = ConfigSearchPathImpl()
    for source in sources:
        path.append(provider=source.provider, path=f"{source.schema}://{source.path}")
    return ConfigRepository(path)


def _written(loaded: Any) -> dict[str, Any]:
    written = OmegaConf.to_container(loaded.config) if loaded else None
    return {str(k): v for k, v in written.items()} if isinstance(written, dict) else {}


def set_value(config: DictConfig, override: Override) -> None:
    """Applies an override of a value (not of a group) to a composed config, in place."""
    ConfigLoaderImpl._apply_overrides_to_config([override], config)


def note_overrides(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Writes down in the `hydra` node of a single run's config how it was asked for, as Hydra does
    when it composes: some were applied by `set_value`, which does not."""
    node, task = config.hydra, [o for o in overrides if not o.is_hydra_override()]
    node.mode = RunMode.RUN
    node.overrides.hydra = [o.input_line for o in overrides if o.is_hydra_override()]
    node.overrides.task = [o.input_line for o in task]
    style = node.job.config.override_dirname
    node.job.override_dirname = get_overrides_dirname(
        overrides=task,
        kv_sep=style.kv_sep,
        item_sep=style.item_sep,
        exclude_keys=list(style.exclude_keys),
    )


def grid_of(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of each job of a grid, as Hydra's basic sweeper makes them."""
    (batch,) = BasicSweeper.split_arguments(list(overrides), None)
    return batch


@contextmanager
def parsed_once() -> Iterator[None]:
    """Meanwhile OmegaConf parses each text of an interpolation once: the configs of many jobs have
    the same ones. Trees are read, never changed."""
    module: Any = base
    plain = module.parse
    module.parse = cache(plain)
    try:
        yield
    finally:
        module.parse = plain


@contextmanager
def quick_loading() -> Iterator[None]:
    """Meanwhile Hydra composes to the same result in half of the time or less: each file is read
    once, and quickly (`reading.files`), and the choices that a defaults list may refer to are made
    a config only for a list that refers to one."""
    listed: Any = defaults_list
    omega: Any = OmegaConf
    choices, load = listed._create_interpolation_map, omega.load

    def needed_choices(overrides: Any, defaults: Any, self_added: bool) -> Any:
        refers = any(each.is_interpolation() for each in defaults)
        return choices(overrides, defaults, self_added) if refers else None

    listed._create_interpolation_map, omega.load = needed_choices, parsed
    try:
        yield
    finally:
        listed._create_interpolation_map, omega.load = choices, load


def stored(part: str) -> dict[str, Any]:
    """The configs that plugins have stored for `hydra/launcher` or `hydra/sweeper`, by their file
    names; a group below (optuna's samplers) is a dict of them."""
    configs: dict[str, Any] = ConfigStore.instance().repo.get("hydra", {}).get(part, {})
    return configs


def open_stored(part: str) -> None:
    """Makes what plugins have stored for `hydra/<part>` plain settings, as a file's are. They are
    stored with the type of a class, to which no file can add: an experiment that sets
    `hydra.launcher.jobs` for the local launcher could be given to no other."""
    for option in stored(part).values():
        if isinstance(option, ConfigNode) and OmegaConf.get_type(option.node) not in (dict, None):
            option.node = DictConfig(OmegaConf.to_container(option.node))


def register_plugin(plugin: type[Plugin], name: str) -> None:
    """Makes a class known under the name that a config's `_target_` gives: Hydra would take a
    plugin only by a module of `hydra_plugins`."""
    plugins = Plugins.instance()
    plugins.register(plugin)
    plugins.class_name_to_class[name] = plugin


@contextmanager
def sweeping(
    hydra: Hydra, config: DictConfig, task: TaskFunction, given: Sequence[str]
) -> Iterator[Any]:
    """The sweeper that a composed config names, between Hydra's callbacks for the start and the end
    of a multirun. It does not compose its jobs to check them: ours are checked.

    Raises:
        HydraException: the config has Hydra build what it must not.
    """
    guard(config, given)
    callbacks, name = Callbacks(config), config.hydra.job.config_name
    callbacks.on_multirun_start(config=config, config_name=name)
    loader: Any = JudgedLoader(hydra.config_loader, tuple(given))
    sweeper: Any = Plugins.instance().instantiate_sweeper(
        config=config,
        hydra_context=HydraContext(config_loader=loader, callbacks=callbacks),
        task_function=task,
    )
    sweeper.validate_batch_is_legal = lambda batch: None
    yield sweeper
    callbacks.on_multirun_end(config=config, config_name=name)


def is_grid(sweeper: Sweeper) -> bool:
    """Whether it is Hydra's own. By name: Hydra loads the modules of its plugins once more, so that
    there are two classes."""
    return type(sweeper).__name__ == BasicSweeper.__name__


def run_composed(hydra: Hydra, config: DictConfig, task: TaskFunction) -> Any:
    """Runs the task as `Hydra.run` does, on a config that is composed already (with its `hydra`
    node), and returns its result.

    Raises:
        HydraException: the config has Hydra build what it must not.
        Exception: whatever the task raised.
    """
    if config.hydra.mode is None:
        config.hydra.mode = RunMode.RUN
    given = config.hydra.overrides
    guard_job(config, [*words_of(given.hydra), *words_of(given.task)])
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    callbacks, name = Callbacks(config), config.hydra.job.config_name
    callbacks.on_run_start(config=config, config_name=name)
    result = run_job(
        hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
        task_function=task,
        config=config,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
    )
    callbacks.on_run_end(config=config, config_name=name, job_return=result)
    return result.return_value


def value_of(result: JobReturn) -> Any:
    """The value that a job returned, or the exception that it raised. Hydra's `return_value` would
    raise that, with a line on stderr."""
    return result._return_value


class QuietReturn(JobReturn):
    """A job's result that raises a failed job's exception without a line on stderr."""

    @property
    def return_value(self) -> Any:
        if self.status != JobStatus.COMPLETED:
            raise self._return_value
        return self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value
