"""A sweep through Hydra's sweeper and launcher. Our local launcher does all by itself; others get each job as one call of `job_task`."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, open_dict, read_write
from rich.console import Console

from rlhf.config import naming
from rlhf.config.plan import Plan, reason
from rlhf.config.schema import Config
from rlhf.config.session import CONFIG_NAME
from rlhf.pipeline.find_sweeper import FindSweeper
from rlhf.pipeline.job import STOP_CODES
from rlhf.pipeline.launcher import (
    GOOD,
    JobFailed,
    LocalLauncher,
    job_of,
    limit_threads,
    preloads,
    prepare_tracking,
    register_launcher,
    train,
    write_sweep,
)
from rlhf.pipeline.ledger import Ledger
from rlhf.pipeline.optuna_sweeper import OptunaSweeper
from rlhf.pipeline.search import SearchSweeper
from rlhf.pipeline.workers import run_jobs, start_method
from rlhf.rundir.files import read_json
from rlhf.rundir.lock import owned
from rlhf.rundir.look import print_state, sweep_state

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

FAILED = 1
EXTRAS = (  # in the class's name, the package, the extra
    ("hydra_joblib_launcher", "hydra_plugins.hydra_joblib_launcher", "joblib"),
    ("hydra_submitit_launcher", "hydra_plugins.hydra_submitit_launcher", "slurm"),
    ("hydra_ray_launcher", "hydra_plugins.hydra_ray_launcher", "ray"),
    ("rlhf.OptunaSweeper", "optuna", "optuna"),
)


def sweep(hydra: Hydra, found: Plan, overrides: Sequence[str], task: TaskFunction) -> tuple[int, Path]:
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
    config = hydra.compose_config(CONFIG_NAME, lines, run_mode=RunMode.MULTIRUN, with_log_configuration=False)
    directory = Path(str(config.hydra.sweep.dir))
    _check_extra(config)
    callbacks = Callbacks(config)
    callbacks.on_multirun_start(config=config, config_name=CONFIG_NAME)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    sweeper: Any = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=task)
    sweeper.validate_batch_is_legal = lambda batch: None
    arguments = list(config.hydra.overrides.task)
    local = isinstance(sweeper.launcher, LocalLauncher)
    if local:
        sweeper.launcher.checked = {job.overrides: job.config for job in found.jobs}
    else:
        _settle_directory(config, directory)
    if local or isinstance(sweeper, SearchSweeper):
        code = 0
        with nullcontext() if local else _at_work(_console(), directory):
            try:
                sweeper.sweep(arguments=arguments)
            except JobFailed:
                code = FAILED
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
        HydraException: a package of the launcher or the sweeper is not installed; says which extra brings it.
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
            raise HydraException(f"hydra/{part}={chosen} needs a package that is not there: pip install 'rlhf[{extra}]'")


def _settle_directory(config: DictConfig, directory: Path) -> None:
    """Jobs get the sweep's directory said outright: its name follows from the command, which they do not see."""
    with read_write(config), open_dict(config):
        config.hydra.sweep.dir = str(directory.absolute())
        config.hydra.overrides.hydra.append("hydra.sweep.dir='{}'".format(str(directory.absolute()).replace("'", "\\'")))


def hand_over(found: Plan, directory: Path, arguments: Sequence[str], go: Callable[[], object]) -> int:
    """Runs `go`, which launches the jobs elsewhere. How each ended is read from its directory, whatever the launcher says."""
    console = _console()
    planned = [(job.overrides, job.config) for job in found.jobs if job.config is not None]
    configs = [cfg for _, cfg in planned]
    jobs = [job_of(cfg, own, directory) for own, cfg in planned]
    missing = [job for job in jobs if not naming.is_finished(job.directory)]
    names = {job.name for job in jobs}
    with _at_work(console, directory):
        write_sweep(directory, jobs, study=configs[0].study, overrides=arguments)
        console.print(f"{len(names)} jobs in {directory}; {len(names) - len(missing)} finished before", highlight=False, soft_wrap=True)
        try:
            if missing:
                prepare_tracking(configs)
                go()
        except JobFailed:
            pass  # its place in the table says it
        except Exception as error:
            console.print(f"the launcher gave up: {type(error).__name__}: {reason(error)}", highlight=False, soft_wrap=True, markup=False)
    return 0 if all(job.state == "finished" for job in sweep_state(directory).jobs if job.name in names) else FAILED


def _console() -> Console:
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=160)


@contextmanager
def _at_work(console: Console, directory: Path) -> Iterator[None]:
    """Around jobs that are launched elsewhere: the sweep's lock, its launcher.json, signals, and the table of jobs at the end.

    Raises:
        RunFailed: another process is at work on this sweep.
        SystemExit: a signal came.
    """
    with owned(directory), _sigterm_raises():
        ledger = Ledger(directory)
        ledger.write(working=True)
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        finally:
            ledger.write(working=False)
            if (directory / "sweep.json").exists():
                print_state(console, directory)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM unwinds as Ctrl-C does, so that the launcher can end its workers; exit code 143."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _own_start_method() -> Iterator[None]:
    """A process's own default is told to its children, and they do not know joblib's (`loky`)."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(start_method(), force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)


def job_task(cfg: Config, hydra_config: Any) -> dict[str, Any]:
    """One job, wherever a launcher put it: a process of its own below the launcher's worker, so that no end of it harms the worker.

    Returns:
        The run's summary.

    Raises:
        JobFailed: the run failed.
        SystemExit: a signal stopped it; its state is saved.
    """
    home = Path(str(hydra_config.runtime.cwd))
    if home.is_dir():
        os.chdir(home)  # paths in a config are relative to where the command was given
    job = job_of(cfg, list(hydra_config.overrides.task), Path(str(hydra_config.sweep.dir)))
    if not naming.is_finished(job.directory):
        limit_threads(cfg.trainer.threads)
        with _own_start_method():
            (outcome,), code = run_jobs([job], train, 1, preload=preloads([cfg]))
        if code is not None or outcome.exit_code in STOP_CODES:
            raise SystemExit(code or 143)
        if outcome.state not in GOOD:
            raise JobFailed(f"{job.name}: {outcome.state} ({outcome.ended}), see {job.log}")
    summary: dict[str, Any] = read_json(job.directory / "summary.json")
    return summary
