"""`hydra/launcher=local`: a sweep's jobs as processes of this machine. Imports neither torch nor
the pipeline."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from rich.console import Console

from rlhf.config import naming
from rlhf.config.pieces.tracking import MLflowTracker
from rlhf.config.schema import Config
from rlhf.config.validate import validate
from rlhf.rundir.files import write_json
from rlhf.rundir.lock import owned
from rlhf.rundir.redact import redact_text
from rlhf.rundir.status import read_status
from rlhf.sweeps.job import Job, Outcome
from rlhf.sweeps.launcher_json import Ledger
from rlhf.sweeps.launchers.capacity import at_once, cores, seconds_of, visible_gpus
from rlhf.sweeps.launchers.processes import GRACE, run_jobs
from rlhf.sweeps.screen.follow import steadily
from rlhf.sweeps.screen.table import print_outcomes

PLUGIN = "hydra_plugins.rlhf.LocalLauncher"  # Hydra refuses plugins whose name begins otherwise
THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
GOOD = ("finished", "finished before")


class JobFailed(RuntimeError):
    """What a sweeper gets when it asks for the result of a job that has none."""


@dataclass
class JobResult(JobReturn):
    """Hydra's, but it raises without printing: the table says what failed."""

    @property
    def return_value(self) -> Any:
        if self.status != JobStatus.COMPLETED:
            raise JobFailed(str(self._return_value))
        return self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value


def limit_threads(threads: int) -> None:
    """For libraries that read it when they are loaded: call before torch is imported."""
    os.environ.update(dict.fromkeys(THREAD_LIMITS, str(threads)))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # its thread must not be there when jobs are forked
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


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


def preloads(configs: Sequence[Config]) -> list[str]:
    """Modules that every job needs: the pipeline, and those of the pieces that the configs name."""
    paths = {piece.class_path for cfg in configs for piece in (cfg.data, cfg.model, cfg.tracking)}
    tracked = (
        ["rlhf.tracking.preload"] if any(path.endswith(".MLflowTracker") for path in paths) else []
    )
    return ["rlhf.runs.preload", *sorted(path.rpartition(".")[0] for path in paths), *tracked]


def prepare_tracking(configs: Sequence[Config]) -> None:
    """The tracking databases, once and before any job. A store that does not answer stops no
    sweep."""
    stores = {
        (cfg.tracking.uri, cfg.tracking.experiment)
        for cfg in configs
        if isinstance(cfg.tracking, MLflowTracker)
    }
    for uri, experiment in sorted(stores):
        from rlhf.tracking import prepare_store

        try:
            prepare_store(uri, experiment)
        except Exception as error:
            print(
                redact_text(
                    f"tracking: {uri} does not answer ({error}); runs go on, their metrics wait on"
                    " disk"
                ),
                file=sys.stderr,
            )


def write_sweep(
    directory: Path, jobs: Sequence[Job], *, study: str, overrides: Sequence[str]
) -> None:
    """sweep.json: the command and its jobs, with those that an earlier command put there."""
    path = directory / "sweep.json"
    before = json.loads(path.read_text())["jobs"] if path.exists() else []
    entries = {entry["name"]: entry for entry in before}
    entries |= {job.name: {"name": job.name, "overrides": list(job.overrides)} for job in jobs}
    write_json(
        path,
        {
            "name": directory.name,
            "study": study,
            "overrides": list(overrides),
            "jobs": list(entries.values()),
        },
    )


def job_of(cfg: Config, overrides: Sequence[str], sweep_directory: Path) -> Job:
    """The job's directory and the config it will find there: the sweep's name and its own place
    filled in."""
    base = sweep_directory / cfg.paths.run_name
    directory = naming.run_directory(base, cfg.rerun)
    plain = {**cfg.plain(), "sweep": sweep_directory.name}
    plain["paths"] = {
        **plain["paths"],
        "run_name": directory.name,
        "run_dir": str(directory),
        "sweep_dir": str(sweep_directory),
    }
    return Job(name=directory.name, directory=directory, plain=plain, overrides=tuple(overrides))


def run_sweep(
    planned: Sequence[tuple[Sequence[str], Config]],
    directory: Path,
    *,
    overrides: Sequence[str] = (),
    n: int | None = None,
    time_limit: float | None = None,
    grace: float = GRACE,
    console: Console | None = None,
    target: Callable[[Job], None] = train,
) -> list[Outcome]:
    """Runs what is missing of a sweep: finished jobs are left alone, cut ones go on, failed ones
    are tried again.

    Args:
        planned: each job's overrides and checked config, in order. Jobs that are the same run are
            run once.
        n: jobs at a time; None: one a GPU where jobs use them, else half the cores, fewer where a
            job has several threads.
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
    with owned(directory):
        write_sweep(directory, list(distinct.values()), study=configs[0].study, overrides=overrides)
        missing = [job for job in distinct.values() if not naming.is_finished(job.directory)]
        threads = max(cfg.trainer.threads for cfg in configs)
        gpus = (
            visible_gpus(os.environ)
            if any(cfg.trainer.accelerator == "cuda" for cfg in configs)
            else ()
        )
        together = at_once(n, cores=cores(), threads=threads, gpus=len(gpus))
        _announce(console, directory, jobs, distinct, missing, together, threads)
        outcomes = {name: Outcome(job, "finished before", 0) for name, job in distinct.items()}
        code = None
        if missing:
            limit_threads(threads)
            preload = preloads(configs) if target is train else ()
            with steadily(console) as watcher:
                ledger = Ledger(directory, watcher)
                ledger.update([Outcome(job) for job in missing])
                if target is train:
                    prepare_tracking(configs)
                ran, code = run_jobs(
                    missing,
                    target,
                    together,
                    preload=preload,
                    watcher=ledger,
                    gpus=gpus,
                    time_limit=time_limit,
                    grace=grace,
                )
                ledger.write(working=False)
            outcomes |= {outcome.job.name: outcome for outcome in ran}
        with suppress(OSError):  # the terminal may be what was closed
            print_outcomes(console, list(outcomes.values()))
            if code is not None:
                console.print(
                    f"stopped; the same command goes on from here ({directory})",
                    highlight=False,
                    soft_wrap=True,
                )
        if code is not None:
            raise SystemExit(code)
    return [outcomes[job.name] for job in jobs]


def _announce(
    console: Console,
    directory: Path,
    jobs: Sequence[Job],
    distinct: Mapping[str, Job],
    missing: Sequence[Job],
    n: int,
    threads: int,
) -> None:
    parts = [f"{len(distinct)} jobs in {directory}"]
    if len(distinct) < len(jobs):
        parts.append(f"{len(jobs) - len(distinct)} more would be the same runs again")
    if len(missing) < len(distinct):
        parts.append(f"{len(distinct) - len(missing)} finished before")
    if missing:
        n = min(n, len(missing))
        parts.append(
            f"{n} at a time"
            + (f" ({n * threads} threads for {cores()} cores)" if n * threads > cores() else "")
        )
    console.print("; ".join(parts), highlight=False, soft_wrap=True)


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
        self.time_limit, self.grace = seconds_of(time_limit), seconds_of(grace) or GRACE
        # configs that the command line has composed and checked already
        self.checked: dict[tuple[str, ...], Config | None] = {}
        self.outcomes: list[Outcome] = []

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        planned = [(list(own), self._config(own)) for own in job_overrides]
        directory = Path(str(self.config.hydra.sweep.dir))
        overrides = [str(line) for line in self.config.hydra.overrides.task]
        outcomes = run_sweep(
            planned,
            directory,
            overrides=overrides,
            n=self.jobs,
            time_limit=self.time_limit,
            grace=self.grace,
        )
        self.outcomes += outcomes
        return [_job_return(outcome) for outcome in outcomes]

    def _config(self, overrides: Sequence[str]) -> Config:
        found = self.checked.get(tuple(overrides))
        return found or validate(
            self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        )


def _job_return(outcome: Outcome) -> JobReturn:
    result = JobResult(
        overrides=outcome.job.overrides, working_dir=str(outcome.job.directory), task_name="rlhf"
    )
    good = outcome.state in GOOD
    summary = outcome.job.directory / "summary.json"
    result.status = JobStatus.COMPLETED if good else JobStatus.FAILED
    value = json.loads(summary.read_text()) if good and summary.exists() else None
    result.return_value = value if good else outcome.sentence
    return result


def register_launcher() -> None:
    """Makes LocalLauncher known to Hydra under the name that `conf/hydra/launcher/local.yaml`
    gives."""
    plugins = Plugins.instance()
    plugins.register(LocalLauncher)
    plugins.class_name_to_class[PLUGIN] = LocalLauncher
