"""The base of the searches: trials as jobs of a sweep, each config checked before its batch
starts, results from summary.json."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from rlhf.config.composition.composer import Composer, reason
from rlhf.config.composition.environment import without_secrets
from rlhf.config.composition.hydra_internals import value_of
from rlhf.config.composition.judged.commands import trust_faults
from rlhf.config.composition.overrides import Groups, parse
from rlhf.config.composition.walk import words_of
from rlhf.config.schema import Config
from rlhf.config.validate import examine
from rlhf.rundir.lock import owned
from rlhf.rundir.read import read_json
from rlhf.rundir.secrets.redact import redact_text
from rlhf.rundir.status import is_finished
from rlhf.sweeps.job import Job, JobFailed, job_of, write_sweep
from rlhf.sweeps.launchers.local import LocalLauncher
from rlhf.sweeps.launchers.prepare import prepare_tracking
from rlhf.sweeps.screen.live import following, stderr_console
from rlhf.sweeps.screen.table import say
from rlhf.sweeps.searches.space import Dimension, split


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One job that has ended: its summary, or why it has none."""

    overrides: tuple[str, ...]
    run: str | None = None
    summary: dict[str, Any] | None = None
    error: str | None = None

    def number(self, key: str) -> float:
        """
        Raises:
            ValueError: the trial failed, or its summary has no such finite number.
        """
        if self.summary is None:
            raise ValueError(self.error)
        value = self.summary.get(key)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            there = ", ".join(
                k
                for k, v in self.summary.items()
                if isinstance(v, (int, float)) and ("/" in k or k == "objective")
            )
            raise ValueError(f"summary.json has no finite number {key} ({value}); it has {there}")
        return float(value)


def expect(right: bool, setting: str, value: object, expected: str) -> None:
    if not right:
        raise ValueError(f"hydra.sweeper.{setting}={value}: expected {expected}")


class SearchSweeper(Sweeper):
    """A sweeper that chooses its next jobs by the results of the last ones."""

    config: Any  # Hydra sets these two in setup
    hydra_context: Any

    def __init__(self, params: DictConfig | dict[str, str] | None = None) -> None:
        self.params: dict[str, Any] = {str(key): value for key, value in (params or {}).items()}
        self.started = 0

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        # the context has the config loader, which is all that a composer reads of a Hydra
        self.composer = Composer(self.hydra_context, Groups(hydra_context.config_loader))
        self.console = stderr_console()

    @property
    def directory(self) -> Path:
        return Path(str(self.config.hydra.sweep.dir))  # it may be made absolute after `setup`

    def sweep(self, arguments: list[str]) -> None:
        """Runs the search, or what is missing of it.

        Raises:
            JobFailed: it has no answer.
            RunFailed: another process is at work on it.
        """
        lines = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        fixed, dimensions = split(parser.parse_overrides(lines))
        if not dimensions:
            raise HydraException(
                "a search needs something to vary, such as 'kl.coef=tag(log, interval(0.01, 1))'"
            )
        with owned(self.directory / ".search"):
            OmegaConf.save(without_secrets(self.config), self.directory / "multirun.yaml")
            self.search(fixed, dimensions)

    @abstractmethod
    def search(self, fixed: list[str], dimensions: list[Dimension]) -> None: ...

    def run(self, batch: Sequence[Sequence[str]]) -> list[Trial]:
        """The results of these jobs, in order. One whose config is wrong is not started, and
        stops no other."""
        lines = [tuple(overrides) for overrides in batch]
        checked = [self._checked(overrides) for overrides in lines]
        right = [(own, cfg) for own, (cfg, _) in zip(lines, checked, strict=True) if cfg]
        ended = iter(self._launch(right) if right else [])
        return [
            next(ended) if cfg else Trial(overrides=own, error="; ".join(faults))
            for own, (cfg, faults) in zip(lines, checked, strict=True)
        ]

    def _checked(self, lines: Sequence[str]) -> tuple[Config | None, list[str]]:
        """A job's config as the command line checks those of a grid, or what is wrong with it."""
        overrides, faults = parse(lines, self.composer.hydra)
        given = self.config.hydra.overrides
        hydra_words, words = words_of(given.hydra), words_of(given.task)
        config, more = self.composer.compose(overrides, tuple(hydra_words))
        typed, wrong = examine(config)
        wrong += trust_faults(config, [*hydra_words, *words])
        sentences = [str(fault) for fault in (*faults, *more, *wrong)]
        return (None if sentences else typed), sentences

    def _launch(self, planned: Sequence[tuple[tuple[str, ...], Config]]) -> list[Trial]:
        jobs = [job_of(config, lines, self.directory) for lines, config in planned]
        if isinstance(self.launcher, LocalLauncher):
            self.launcher.checked |= dict(planned)
        else:
            write_sweep(
                self.directory,
                jobs,
                study=planned[0][1].study,
                overrides=words_of(self.config.hydra.overrides.task),
            )
            prepare_tracking([config for _, config in planned])
        # two that are the same run would meet in one directory
        distinct = {job.name: job for job in reversed(jobs)}
        started = [job for job in jobs if distinct[job.name] is job]
        ended = {trial.run: trial for trial in self._results(started)}
        self.started += len(started)
        return [replace(ended[job.name], overrides=job.overrides) for job in jobs]

    def _results(self, started: Sequence[Job]) -> list[Trial]:
        """If a launcher other than ours gives up, the jobs that finished count and the others
        are failed trials."""
        local = isinstance(self.launcher, LocalLauncher)
        names, lines = {job.name for job in started}, [list(job.overrides) for job in started]
        try:
            with nullcontext() if local else following(self.console, self.directory, names):
                returns = self.launcher.launch(lines, initial_job_idx=self.started)
        except Exception as error:
            if local:
                raise
            why = f"the launcher gave up: {type(error).__name__}: {reason(error)}"
            results: list[dict[str, Any]] = [
                (
                    {"summary": read_json(job.directory / "summary.json")}
                    if is_finished(job.directory)
                    else {"error": why}
                )
                for job in started
            ]
        else:
            results = [
                (
                    {"summary": result.return_value}
                    if result.status == JobStatus.COMPLETED
                    else {"error": str(value_of(result))}
                )
                for result in returns
            ]
        return [
            Trial(overrides=job.overrides, run=job.name, **result)
            for job, result in zip(started, results, strict=True)
        ]

    def unanswered(self, text: str) -> JobFailed:
        """To be raised. The text is printed here: whoever catches it takes only the exit code."""
        text = redact_text(text)
        say(self.console, text)
        return JobFailed(text)
