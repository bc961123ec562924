"""`hydra/launcher=local`: a sweep's jobs as processes of this machine. Imports neither torch nor
the pipeline."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from rich.console import Console

from rlhf.config import naming
from rlhf.config.composition.hydra_internals import QuietReturn
from rlhf.config.composition.walk import words_of
from rlhf.config.schema import Config
from rlhf.config.validate import validate
from rlhf.rundir.lock import owned
from rlhf.rundir.noted import is_complete
from rlhf.rundir.read import read_json
from rlhf.rundir.signals import unwinding
from rlhf.rundir.status import read_status
from rlhf.rundir.words import plural, seconds_of
from rlhf.runs.common.told import telling
from rlhf.runs.machine.faults import cores
from rlhf.sweeps.job import GOOD, Job, JobFailed, Ledger, Outcome, job_of, write_sweep
from rlhf.sweeps.launchers.prepare import (
    at_once,
    limit_threads,
    most,
    preloads,
    prepare_tracking,
    visible_gpus,
)
from rlhf.sweeps.launchers.processes import GRACE, run_jobs
from rlhf.sweeps.launchers.served import Aside, serve
from rlhf.sweeps.screen.live import watching
from rlhf.sweeps.screen.table import print_outcomes, say


def train(job: Job) -> None:
    """A job's process: the whole run, its exit code as `rlhf` would give it."""
    from rlhf.runs.execute import execute

    _wait_for_survivor(job)
    try:
        code = execute(validate(job.plain), directory=job.directory)
    except SystemExit as left:
        print(f"a part of the run ended its process ({left.code})", file=sys.stderr)
        code = 1
    sys.exit(code)


def _wait_for_survivor(job: Job) -> None:
    """A process of this job that outlived its parent is not doubled: when it has ended the run
    is finished, or goes on from its state."""
    lock = FileLock(job.directory / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(
            f"process {read_status(job.directory).get('pid')} of an earlier command is at work on"
            " this run: waiting for it",
            flush=True,
        )
        lock.acquire()
    lock.release()


def run_sweep(
    planned: Sequence[tuple[Sequence[str], Config]],
    directory: Path,
    *,
    overrides: Sequence[str] = (),
    n: int | None = None,
    room: int | None = None,
    time_limit: float | None = None,
    grace: float = GRACE,
    console: Console | None = None,
    target: Callable[[Job], None] = train,
) -> list[Outcome]:
    """Runs what is missing of a sweep: finished jobs are left alone, cut ones go on, failed ones
    are tried again.

    Args:
        planned: each job's overrides and checked config, in order; the same run is run once.
        n: jobs at a time; None: as `at_once` has it, with the memory's `room`.
        time_limit: seconds for each job, waiting for a stage included; one past it is asked to
            stop, and killed `grace` seconds later.

    Raises:
        RunFailed: another process is at work on this sweep.
        SystemExit: a signal came; the jobs were asked to stop and have ended.
    """
    console = console or Console(stderr=True)
    configs = [cfg for _, cfg in planned]
    jobs = [job_of(cfg, own, directory) for own, cfg in planned]
    distinct = {job.name: job for job in jobs}
    outcomes = {name: Outcome(job, "finished before", 0) for name, job in distinct.items()}
    code = None
    with owned(directory):
        write_sweep(directory, list(distinct.values()), study=configs[0].study, overrides=overrides)
        missing = [job for job in distinct.values() if not is_complete(job.directory)]
        size = most(configs)
        on_gpu = any(cfg.trainer.accelerator == "cuda" for cfg in configs)
        gpus = visible_gpus(os.environ) if on_gpu else ()
        n = min(at_once(n, cores=cores(), gpus=len(gpus), room=room, **size), len(missing))
        _announce(console, directory, len(jobs), len(distinct), len(missing), n, size)
        if missing:
            limits = {"gpus": gpus, "time_limit": time_limit, "grace": grace}
            ran, code = _run(missing, configs, target, n, directory, console, **limits)
            outcomes |= {outcome.job.name: outcome for outcome in ran}
        with suppress(OSError):  # the terminal may be what was closed
            print_outcomes(console, list(outcomes.values()))
            if code is not None:
                say(console, f"stopped; the same command goes on from here ({directory})")
    if code is not None:
        raise SystemExit(code)
    return [outcomes[job.name] for job in jobs]


def _announce(
    console: Console,
    directory: Path,
    jobs: int,  # those that were asked for
    distinct: int,
    missing: int,
    n: int,
    size: Mapping[str, int],
) -> None:
    threads = size["threads"] * size["devices"]
    parts = [f"{plural(distinct, 'job')} in {directory}"]
    if distinct < jobs:
        parts.append(f"{jobs - distinct} more would be the same runs again")
    if missing < distinct:
        parts.append(f"{distinct - missing} finished before")
    if older := len(naming.older_runs(directory)):
        version = f"another version of the run hash than {naming.HASH_VERSION}"
        parts.append(f"{older} made under {version} stay as they are")
    if missing:
        crowded = f" ({n * threads} threads for {cores()} cores)" if n * threads > cores() else ""
        parts.append(f"{n} at a time{crowded}")
    say(console, "; ".join(parts))


def _run(
    missing: Sequence[Job],
    configs: Sequence[Config],
    target: Callable[[Job], None],
    n: int,
    directory: Path,
    console: Console,
    **limits: Any,
) -> tuple[list[Outcome], int | None]:
    limit_threads(max(cfg.trainer.threads for cfg in configs))
    preload = preloads(configs) if target is train else ()
    own = target is train
    with watching(console) as watcher, unwinding(), telling(configs if own else ()):
        ledger = Ledger(directory, watcher.update)
        ledger.update([Outcome(job) for job in missing])
        if own:
            _prepare(configs, preload)
        ended = run_jobs(missing, target, n, preload=preload, watch=ledger.update, **limits)
        ledger.write(working=False)
    return ended


def _prepare(configs: Sequence[Config], preload: Sequence[str]) -> None:
    """The tracking databases, by the server that has MLflow for the jobs, where there is one. Where
    it has no room for that, jobs make them."""
    if serve(preload):
        with suppress(OSError, EOFError):
            prepare_tracking(configs, worker=Aside)
    else:
        prepare_tracking(configs)


class LocalLauncher(Launcher):
    """One process a job, `jobs` at a time, each for no longer than `time_limit` and then `grace`
    (see `seconds_of`)."""

    def __init__(
        self,
        jobs: int | None = None,
        time_limit: str | float | None = None,
        grace: str | float | None = None,
    ) -> None:
        if jobs is not None and (not isinstance(jobs, int) or jobs < 1):
            raise ValueError(
                f"hydra.launcher.jobs={jobs}: expected a whole number of at least 1, or null"
            )
        self.jobs = jobs
        self.time_limit = _duration("time_limit", time_limit)
        self.grace = _duration("grace", grace) or GRACE
        # configs that the command line has composed and checked already
        self.checked: dict[tuple[str, ...], Config | None] = {}
        self.room: int | None = None  # jobs that the memory has room for, where that is known
        self.outcomes: list[Outcome] = []

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        load = self.hydra_context.config_loader.load_sweep_config
        outcomes = run_sweep(
            [
                (own, self.checked.get(tuple(own)) or validate(load(self.config, list(own))))
                for own in job_overrides
            ],
            Path(str(self.config.hydra.sweep.dir)),
            overrides=words_of(self.config.hydra.overrides.task),
            n=self.jobs,
            room=self.room,
            time_limit=self.time_limit,
            grace=self.grace,
        )
        self.outcomes += outcomes
        return [_job_return(outcome) for outcome in outcomes]


def _duration(setting: str, value: object) -> float | None:
    try:
        return seconds_of(value)
    except ValueError as error:
        raise ValueError(f"hydra.launcher.{setting}={value}: {error}") from None


def _job_return(outcome: Outcome) -> JobReturn:
    job, good = outcome.job, outcome.state in GOOD
    result = QuietReturn(overrides=job.overrides, working_dir=str(job.directory), task_name="rlhf")
    result.status = JobStatus.COMPLETED if good else JobStatus.FAILED
    summary = read_json(job.directory / "summary.json") or None
    result.return_value = summary if good else JobFailed(outcome.sentence)
    return result
