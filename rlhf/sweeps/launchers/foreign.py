"""A sweep whose jobs another launcher runs: the missing jobs are handed over, their files are
followed, and how they ended is read from there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from rich.console import Console

from rlhf.config.composition.composer import reason
from rlhf.config.composition.plan import Plan
from rlhf.rundir.lock import owned
from rlhf.rundir.noted import is_complete, lost_results
from rlhf.rundir.signals import unwinding
from rlhf.rundir.status import sweep_jobs
from rlhf.rundir.words import plural
from rlhf.sweeps.job import GOOD, Job, JobFailed, Ledger, job_of, write_sweep
from rlhf.sweeps.launchers.prepare import prepare_tracking
from rlhf.sweeps.screen.live import following, stderr_console
from rlhf.sweeps.screen.table import print_state, say


class OnlyMissing(Launcher):
    """Stands before a launcher for Hydra's own sweeper, and hands over only the jobs that are
    missing. The sweeper alone would begin finished ones again, and stop after a batch in which one
    failed.

    Args:
        jobs: by their overrides, those that `inner` needs not see twice, nor once they are
            finished.
    """

    def __init__(self, inner: Any, jobs: Mapping[tuple[str, ...], Job]) -> None:
        self.inner, self.jobs = inner, jobs
        self.begun: set[str] = set()

    def setup(self, **parts: Any) -> None:
        self.inner.setup(**parts)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        batch = [own for own in job_overrides if self._missing(tuple(own))]
        if batch:
            self.inner.launch(batch, initial_job_idx=initial_job_idx)
        return []

    def _missing(self, overrides: tuple[str, ...]) -> bool:
        job = self.jobs.get(overrides)
        if job is None:
            return True
        new = job.name not in self.begun and not is_complete(job.directory)
        self.begun.add(job.name)
        return new


def jobs_of(planned: Plan, directory: Path) -> dict[tuple[str, ...], Job]:
    return {
        job.overrides: job_of(job.config, job.overrides, directory)
        for job in planned.jobs
        if job.config is not None
    }


def hand_over(
    planned: Plan, directory: Path, arguments: Sequence[str], go: Callable[[], object]
) -> int:
    """Runs `go`, which launches the jobs elsewhere. How each ended is read from its directory,
    whatever the launcher says."""
    console = stderr_console()
    configs = [job.config for job in planned.jobs if job.config is not None]
    jobs = list(jobs_of(planned, directory).values())
    missing = {job.name for job in jobs if not is_complete(job.directory)}
    names = {job.name for job in jobs}
    with at_work(console, directory, missing):
        write_sweep(directory, jobs, study=configs[0].study, overrides=arguments)
        say(
            console,
            f"{plural(len(names), 'job')} in {directory};"
            f" {len(names) - len(missing)} finished before",
        )
        try:
            if missing:
                prepare_tracking(configs)
                with following(console, directory, names):
                    go()
        except JobFailed:
            pass  # its place in the table says it
        except Exception as error:
            say(console, f"the launcher gave up: {type(error).__name__}: {reason(error)}")
    ended = [job for job in sweep_jobs(directory) if job.name in names]
    damaged = [job for job in ended if job.state in GOOD and lost_results(job.directory)]
    for job in damaged:
        say(console, f"{job.name} is refused, its records were damaged; see {job.log}")
    return 0 if not damaged and all(job.state in GOOD for job in ended) else 1


@contextmanager
def at_work(console: Console, directory: Path, missing: Collection[str] = ()) -> Iterator[None]:
    """Around jobs that are launched elsewhere: the sweep's lock, its launcher.json, signals, and
    the table of jobs at the end.

    Args:
        missing: jobs that run again: what an earlier launcher knew of them is forgotten, as their
            own files say how they end now.

    Raises:
        RunFailed: another process is at work on this sweep.
        SystemExit: a signal came.
    """
    with owned(directory), unwinding():
        ledger = Ledger(directory, forget=missing)
        ledger.write(working=True)
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        finally:
            ledger.write(working=False)
            if (directory / "sweep.json").exists():
                with suppress(OSError):  # the terminal may be what was closed
                    print_state(console, directory)
