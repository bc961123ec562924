"""A sweep through Hydra's sweeper and launcher. Our local launcher does all by itself; others
get each job as one call of `job_task`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from rlhf.config import naming
from rlhf.config.composition.plan import Plan
from rlhf.config.composition.session import CONFIG_NAME
from rlhf.config.schema import Config
from rlhf.rundir.files import read_json
from rlhf.sweeps.job import Job
from rlhf.sweeps.launchers.foreign import Grid, at_work, hand_over, jobs_of
from rlhf.sweeps.launchers.local import (
    GOOD,
    JobFailed,
    LocalLauncher,
    job_of,
    limit_threads,
    preloads,
    register_launcher,
    train,
)
from rlhf.sweeps.launchers.processes import run_jobs, start_method
from rlhf.sweeps.screen.follow import stderr_console
from rlhf.sweeps.searches.base import SearchSweeper
from rlhf.sweeps.searches.find import FindSweeper
from rlhf.sweeps.searches.optuna import OptunaSweeper
from rlhf.sweeps.state import LAUNCHER, read_object

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

FAILED = 1
EXTRAS = (  # in the class's name, the package, the extra
    ("hydra_joblib_launcher", "hydra_plugins.hydra_joblib_launcher", "joblib"),
    ("hydra_submitit_launcher", "hydra_plugins.hydra_submitit_launcher", "slurm"),
    ("hydra_ray_launcher", "hydra_plugins.hydra_ray_launcher", "ray"),
    ("rlhf.OptunaSweeper", "optuna", "optuna"),
)


def sweep(
    hydra: Hydra, found: Plan, overrides: Sequence[str], task: TaskFunction
) -> tuple[int, Path]:
    """What Hydra's own multirun does, without composing every job a second and a third time.

    Returns:
        The exit code and the sweep's directory.

    Raises:
        HydraException: the launcher or the sweeper cannot be made.
        RunFailed: another process is at work on this sweep.
        SystemExit: a signal stopped it.
    """
    register_launcher()
    register_sweepers()
    lines = [*overrides, "hydra.mode=MULTIRUN"]
    config = hydra.compose_config(
        CONFIG_NAME, lines, run_mode=RunMode.MULTIRUN, with_log_configuration=False
    )
    directory = Path(str(config.hydra.sweep.dir))
    _check_extra(config)
    callbacks = Callbacks(config)
    callbacks.on_multirun_start(config=config, config_name=CONFIG_NAME)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    sweeper: Any = Plugins.instance().instantiate_sweeper(
        config=config, hydra_context=context, task_function=task
    )
    sweeper.validate_batch_is_legal = lambda batch: None
    arguments = list(config.hydra.overrides.task)
    launcher = sweeper.launcher
    local = isinstance(launcher, LocalLauncher)
    if local:
        launcher.checked = {job.overrides: job.config for job in found.jobs}
    else:
        _settle_directory(config, directory)
    # Hydra loads the modules of its plugins once more: there are two classes
    grid = type(sweeper).__name__ == "BasicSweeper"
    if grid:
        sweeper.launcher = Grid(launcher, {} if local else jobs_of(found, directory))
    if local or isinstance(sweeper, SearchSweeper):
        code = 0
        with nullcontext() if local else at_work(stderr_console(), directory):
            try:
                sweeper.sweep(arguments=arguments)
            except JobFailed:
                code = FAILED
        if local and grid:
            code = int(any(outcome.state not in GOOD for outcome in launcher.outcomes))
    else:
        code = hand_over(found, directory, arguments, lambda: sweeper.sweep(arguments=arguments))
    callbacks.on_multirun_end(config=config, config_name=CONFIG_NAME)
    return code, directory


def register_sweepers() -> None:
    """Makes our searches known to Hydra under the names that `conf/hydra/sweeper` gives."""
    plugins = Plugins.instance()
    for sweeper in (OptunaSweeper, FindSweeper):
        plugins.register(sweeper)
        plugins.class_name_to_class[f"hydra_plugins.rlhf.{sweeper.__name__}"] = sweeper


def _check_extra(config: DictConfig) -> None:
    """
    Raises:
        HydraException: a package of the launcher or the sweeper is not installed; says which extra
            brings it.
    """
    for part in ("launcher", "sweeper"):
        target = str(config.hydra[part].get("_target_", ""))
        package, extra = next((found for mark, *found in EXTRAS if mark in target), ("hydra", ""))
        try:
            there = find_spec(package) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            chosen = config.hydra.runtime.choices.get(f"hydra/{part}", extra)
            raise HydraException(
                f"hydra/{part}={chosen} needs a package that is not there: pip install"
                f" 'rlhf[{extra}]'"
            )


def _settle_directory(config: DictConfig, directory: Path) -> None:
    """Jobs get the sweep's directory said outright: its name follows from the command, which
    they do not see."""
    with read_write(config), open_dict(config):
        config.hydra.sweep.dir = str(directory.absolute())
        config.hydra.overrides.hydra.append(
            "hydra.sweep.dir='{}'".format(str(directory.absolute()).replace("'", "\\'"))
        )


@contextmanager
def _own_start_method() -> Iterator[None]:
    """A process's own default is told to its children, and they do not know joblib's (`loky`)."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(start_method(), force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)


_busy = Lock()  # held while a job of this worker runs


@cache
def _leave_with(parent: int) -> None:
    """Of a worker that is the launcher's own child, as joblib's are: when its parent was killed its
    job is asked to stop, and it goes too.

    Left alone it would wait for ever for somebody to take its result.
    """

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)
        with _busy:
            os._exit(143)

    Thread(target=follow, daemon=True).start()


def job_task(
    cfg: Config, hydra_config: Any, *, target: Callable[[Job], None] = train
) -> dict[str, Any]:
    """One job, wherever a launcher put it: a process of its own below the launcher's worker, so
    that no end of it harms the worker.

    Returns:
        The run's summary.

    Raises:
        JobFailed: the run failed, or was stopped by itself.
        SystemExit: a signal came; the job's state is saved.
    """
    home = Path(str(hydra_config.runtime.cwd))
    if home.is_dir():
        os.chdir(home)  # paths in a config are relative to where the command was given
    job = job_of(cfg, list(hydra_config.overrides.task), Path(str(hydra_config.sweep.dir)))
    if os.getppid() == read_object(job.directory.parent / LAUNCHER).get("pid"):
        _leave_with(os.getppid())
    if not naming.is_finished(job.directory):
        limit_threads(cfg.trainer.threads)
        with _busy, _own_start_method():
            (outcome,), code = run_jobs(
                [job], target, 1, preload=preloads([cfg]) if target is train else ()
            )
        if code is not None:
            # the signal was for this worker; one for the job alone is no concern of the others
            raise SystemExit(code)
        if outcome.state not in GOOD:
            raise JobFailed(outcome.sentence)
    summary: dict[str, Any] = read_json(job.directory / "summary.json")
    return summary
