"""`hydra/sweeper=optuna`: trials that Optuna proposes, for one objective or the Pareto front of
several. Imports optuna when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from omegaconf import DictConfig

from rlhf.rundir.files import write_json, write_text
from rlhf.sweeps.screen.table import say
from rlhf.sweeps.searches.base import SearchSweeper, Trial, expect
from rlhf.sweeps.searches.space import Dimension

SAMPLERS = ("tpe", "nsgaii", "qmc", "random")
DIRECTIONS = ("maximize", "minimize")


class OptunaSweeper(SearchSweeper):
    """
    Args:
        objectives: keys of summary.json.
        direction: `maximize` or `minimize`, one for each objective.
        sampler: one of SAMPLERS.
        n_trials: in all, with those of earlier commands; failed ones count.
        n_jobs: trials a batch; the launcher says how many of them run at once.
        storage: where trials are kept; None: a sqlite file in the sweep's directory.
    """

    def __init__(
        self,
        objectives: Sequence[str],
        direction: str | Sequence[str],
        sampler: str,
        n_trials: int,
        n_jobs: int,
        seed: int,
        storage: str | None = None,
        params: DictConfig | dict[str, str] | None = None,
    ) -> None:
        super().__init__(params)
        self.objectives = (
            [objectives] if isinstance(objectives, str) else [str(name) for name in objectives]
        )
        self.directions = (
            [direction] if isinstance(direction, str) else [str(name) for name in direction]
        )
        matched = 0 < len(self.objectives) == len(self.directions)
        expect(
            matched and set(self.directions) <= set(DIRECTIONS),
            "objectives",
            f"{self.objectives} hydra.sweeper.direction={self.directions}",
            f"a direction, {' or '.join(DIRECTIONS)}, for each objective",
        )
        expect(sampler in SAMPLERS, "sampler", sampler, f"one of {', '.join(SAMPLERS)}")
        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            whole = isinstance(value, int) and value >= 1
            expect(whole, name, value, "a whole number of at least 1")
        self.sampler, self.seed, self.storage = sampler, seed, storage
        self.n_trials, self.n_jobs = n_trials, n_jobs

    def search(self, fixed: list[str], dimensions: list[Dimension]) -> None:
        space = {dimension.key: distribution(dimension) for dimension in dimensions}
        study = self._study(space)
        self._again(study)
        goals = ", ".join(
            f"{direction} {name}"
            for direction, name in zip(self.directions, self.objectives, strict=True)
        )
        say(
            self.console,
            f"search in {self.directory}: {self.n_trials} trials, {ended_trials(study)} of them"
            f" done before; {goals}",
        )
        while (done := ended_trials(study)) < self.n_trials:
            asked = [
                study.ask(fixed_distributions=space)
                for _ in range(min(self.n_jobs, self.n_trials - done))
            ]
            for trial in asked:
                trial.set_user_attr("owner", self._owner())
            results = self.run(
                [[*fixed, *(d.line(trial.params[d.key]) for d in dimensions)] for trial in asked]
            )
            for trial, ended in zip(asked, results, strict=True):
                self._tell(study, trial, ended)
            self._write(study)
        self._write(study)
        self._show(study)
        if not study.best_trials:
            raise self.unanswered("no trial finished")

    def _study(self, space: dict[str, Any]) -> Any:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = self.storage or f"sqlite:///{(self.directory / 'optuna.db').absolute()}"
        study = optuna.create_study(
            storage=storage,
            study_name=self.directory.name,
            directions=self.directions,
            load_if_exists=True,
        )
        # the number of trials is in the seed: a search that goes on must not draw the first points
        # again
        seed = self.seed + len(study.trials)
        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=self.n_jobs > 1),
            "nsgaii": lambda: optuna.samplers.NSGAIISampler(seed=seed),
            "qmc": lambda: optuna.samplers.QMCSampler(seed=self.seed),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        study.sampler = samplers[self.sampler]()
        another = None
        if [direction.name.lower() for direction in study.directions] != self.directions:
            another = "other directions"
        for key, stored in (pair for trial in study.trials for pair in trial.distributions.items()):
            try:
                optuna.distributions.check_distribution_compatibility(
                    stored, space.get(key, stored)
                )
            except ValueError:
                another = f"{key} from {stored}, which cannot become {space[key]}"
        if another is not None:
            raise self.unanswered(
                f"{storage} holds a search with {another}; take another sweep=<name>"
            )
        return study

    def _owner(self) -> str:
        """Names this sweep's directory: others on the same storage may have the same path on
        another computer."""
        path = self.directory / ".search" / "owner"
        if not path.exists():
            write_text(path, uuid4().hex)
        return path.read_text()

    def _again(self, study: Any) -> None:
        """Trials that an earlier command left in the middle are asked for first: their runs go on
        from their checkpoints.

        Those of other directories on a shared storage may be at work, and are left alone.
        """
        from optuna.trial import TrialState

        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            default = None if self.storage else self._owner()
            if trial.user_attrs.get("owner", default) == self._owner():
                study.enqueue_trial(trial.params)
                study.tell(trial.number, state=TrialState.FAIL)

    def _tell(self, study: Any, trial: Any, ended: Trial) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("overrides", list(ended.overrides))
        trial.set_user_attr("run", ended.run)
        try:
            study.tell(trial, [ended.number(name) for name in self.objectives])
        except ValueError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=TrialState.FAIL)
            say(self.console, f"trial {trial.number} failed: {error}")

    def _write(self, study: Any) -> None:
        """optuna.json: every trial, and which of them nobody beats."""
        front = [trial.number for trial in study.best_trials]
        trials = [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "params": trial.params,
                "values": (
                    dict(zip(self.objectives, trial.values, strict=True)) if trial.values else None
                ),
                "front": trial.number in front,
                **{key: trial.user_attrs.get(key) for key in ("run", "overrides", "error")},
            }
            for trial in study.trials
        ]
        write_json(
            self.directory / "optuna.json",
            {
                "name": self.directory.name,
                "objectives": self.objectives,
                "directions": self.directions,
                "sampler": self.sampler,
                "n_trials": self.n_trials,
                "front": front,
                "trials": trials,
            },
        )

    def _show(self, study: Any) -> None:
        from rich.table import Table

        best = sorted(study.best_trials, key=lambda trial: trial.values[-1])
        table = Table(
            box=None,
            pad_edge=False,
            title="the best trial" if len(self.objectives) == 1 else "the Pareto front",
        )
        for column in ("trial", *(best[0].params if best else ()), *self.objectives, "run"):
            table.add_column(column, no_wrap=True)
        for trial in best:
            shown = [
                f"{value:.4g}" if isinstance(value, float) else str(value)
                for value in (*trial.params.values(), *trial.values)
            ]
            table.add_row(str(trial.number), *shown, str(trial.user_attrs.get("run")))
        self.console.print(table)
        states = [trial.state.name.lower() for trial in study.trials]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        say(self.console, f"{counts}; {self.directory / 'optuna.json'}")


def ended_trials(study: Any) -> int:
    """The number of trials with a result or a failure of their own, without those that were cut."""
    return sum(
        trial.state.is_finished() and "overrides" in trial.user_attrs for trial in study.trials
    )


def distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    if dimension.whole:
        return IntDistribution(
            int(dimension.low),
            int(dimension.high),
            log=dimension.log,
            step=int(dimension.step or 1),
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
