"""A sweep through Hydra's sweeper and launcher. The local launcher runs the jobs by itself; others
get each job as one call of `job_task`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from rlhf.config.allow import allowed_flags
from rlhf.config.composition.environment import without_secrets
from rlhf.config.composition.hydra_internals import Hydra, is_grid, register_plugin, sweeping
from rlhf.config.composition.judged.others import take_away
from rlhf.config.composition.plan import Plan
from rlhf.config.composition.session import CONFIG_NAME, own_folder
from rlhf.config.composition.walk import words_of
from rlhf.config.schema import Config
from rlhf.rundir.noted import is_complete
from rlhf.rundir.read import read_json
from rlhf.rundir.status import LAUNCHER
from rlhf.runs.common.told import telling
from rlhf.sweeps.job import GOOD, Job, JobFailed, job_of, note_flags
from rlhf.sweeps.launchers.foreign import OnlyMissing, at_work, hand_over, jobs_of
from rlhf.sweeps.launchers.local import LocalLauncher, train
from rlhf.sweeps.launchers.prepare import limit_threads, preloads
from rlhf.sweeps.launchers.processes import run_jobs
from rlhf.sweeps.launchers.served import start_method
from rlhf.sweeps.screen.live import stderr_console
from rlhf.sweeps.searches.base import SearchSweeper
from rlhf.sweeps.searches.find import FindSweeper
from rlhf.sweeps.searches.optuna import OptunaSweeper


def sweep(
    hydra: Hydra, planned: Plan, overrides: Sequence[str], task: TaskFunction
) -> tuple[int, Path]:
    """Runs a sweep as Hydra's own multirun does, but composes no job a second and a third time.

    Returns:
        The exit code and the sweep's directory.

    Raises:
        HydraException: the launcher or the sweeper cannot be made.
        RunFailed: another process is at work on this sweep.
        SystemExit: a signal stopped it.
    """
    for plugin in (LocalLauncher, OptunaSweeper, FindSweeper):
        register_plugin(plugin, f"hydra_plugins.rlhf.{plugin.__name__}")
    config = hydra.compose_config(
        CONFIG_NAME,
        [*overrides, "hydra.mode=MULTIRUN"],
        run_mode=RunMode.MULTIRUN,
        with_log_configuration=False,
    )
    take_away(config, planned.others)
    directory = Path(str(config.hydra.sweep.dir))
    try:
        with sweeping(hydra, config, task, [*overrides, "hydra.mode=MULTIRUN"]) as sweeper:
            return _launched(sweeper, planned, config, directory), directory
    finally:
        note_flags(directory, [*own_folder(hydra), *allowed_flags()])


def _launched(sweeper: Any, planned: Plan, config: DictConfig, directory: Path) -> int:
    """The exit code of a sweep that is run to its end."""
    launcher, arguments = sweeper.launcher, words_of(config.hydra.overrides.task)
    local, grid = isinstance(launcher, LocalLauncher), is_grid(sweeper)
    if local:
        launcher.checked = {job.overrides: job.config for job in planned.jobs}
        launcher.room = planned.room
    else:  # jobs do not see the command, from which the directory's name follows
        place = str(directory.absolute())
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = place
            config.hydra.overrides.hydra.append(
                "hydra.sweep.dir='{}'".format(place.replace("'", "\\'"))
            )
    if grid:
        sweeper.config = without_secrets(config)  # which it writes to multirun.yaml
        sweeper.launcher = OnlyMissing(launcher, {} if local else jobs_of(planned, directory))
    if not local and not isinstance(sweeper, SearchSweeper):
        return hand_over(planned, directory, arguments, lambda: sweeper.sweep(arguments=arguments))
    code = 0
    with nullcontext() if local else at_work(stderr_console(), directory):
        try:
            sweeper.sweep(arguments=arguments)
        except JobFailed:
            code = 1
    if local and grid:
        code = int(any(outcome.state not in GOOD for outcome in launcher.outcomes))
    return code


_busy = Lock()  # held while a job of this worker runs


@cache
def _leave_with(parent: int) -> None:
    """Ends this worker once its parent was killed, after asking its job to stop. For workers that
    are the launcher's own children, as joblib's are.

    Left alone it would wait for ever with its result.
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
    job = job_of(cfg, words_of(hydra_config.overrides.task), Path(str(hydra_config.sweep.dir)))
    if os.getppid() == read_json(job.directory.parent / LAUNCHER).get("pid"):
        _leave_with(os.getppid())
    if not is_complete(job.directory):
        limit_threads(cfg.trainer.threads)
        preload = preloads([cfg]) if target is train else ()
        with _busy:
            before = multiprocessing.get_start_method(allow_none=True)
            # children get their parent's default, and do not know joblib's (`loky`)
            multiprocessing.set_start_method(start_method(), force=True)
            try:
                with telling([cfg] if target is train else ()):
                    (outcome,), code = run_jobs([job], target, 1, preload=preload)
            finally:
                multiprocessing.set_start_method(before, force=True)
        if code is not None:
            # the signal was for this worker; one for the job alone is no concern of the others
            raise SystemExit(code)
        if outcome.state not in GOOD:
            raise JobFailed(outcome.sentence)
    return read_json(job.directory / "summary.json")
