"""Exact answers along a run on an enumerable problem: J, KL, entropy, the optimum, and the share of
the gain that was reached."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from rlhf.modules.base import Metrics
from rlhf.modules.exact import ExactView, the_only_stop
from rlhf.modules.policy import PolicyModule
from rlhf.oracle import (
    Standing,
    best_of_n_curve,
    check_count,
    effective_beta,
    frontier,
    mean_standing,
    realignment,
    reward_at_kl,
    standings,
)
from rlhf.rollout.engines.base import Stops
from rlhf.rundir.files import write_json

LAMBDAS = (0.25, 0.5, 0.75, 1.0, 1.5)  # of the final policy's mixtures with the reference


class Oracle(pl.Callback):
    """Adds `oracle/...` to the record of every evaluation, and leaves `oracle.json` in the run's
    directory.

    The expectations are over the prompts that the rollouts draw from, each counted once, and over
    all of their responses; the reward is the score that training maximises. ref is the policy that
    the run began with, also where kl/reference moves away from it; beta is the coefficient in
    force. pi and ref are taken at the sampling temperature, top-k and top-p aside. Other stages are
    left alone. Raises ValueError at the start where there are too many responses to list.
    """

    def __init__(self) -> None:
        self.view: ExactView | None = None

    def check_run(self, *, vocabulary: int, length: int, prompts: int, stops: Stops) -> None:
        """Asked before anything is trained. Raises ValueError for too many responses to list, and
        for responses that end otherwise than with one token."""
        the_only_stop(stops)
        check_count(vocabulary, length, prompts)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not isinstance(pl_module, PolicyModule):
            return
        self.view = ExactView(pl_module, pl_module.parts.prompts.training())
        pl_module.measures.append(self.measure)

    def measure(self) -> Metrics:
        assert self.view is not None
        logp, ref_logp, reward = self.view.tables()
        mean = mean_standing(standings(logp, ref_logp, reward, self.view.module.kl.coef))
        missing = reward_at_kl(ref_logp, reward, mean.kl) - mean.reward
        effective = effective_beta(ref_logp, reward, mean.kl)
        numbers = {**mean.as_dict(), "missing_at_kl": missing, "effective_beta": effective}
        return {f"oracle/{name}": value for name, value in numbers.items()}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.view is not None:
            self.write_results(Path(trainer.default_root_dir))

    def write_results(self, folder: Path) -> None:
        """Writes oracle.json of the policy and the coefficient of now."""
        if self.view is None:
            return
        logp, ref_logp, reward = self.view.tables()
        beta = self.view.module.kl.coef
        rows = standings(logp, ref_logp, reward, beta)
        answers = report(self.view.prompts.texts, rows, beta, ref_logp, reward)
        listed, each = self.view.rollout, logp.shape[1]
        own = (logp, reward, listed.tokens[:each], listed.mask[:each])
        answers["realign"] = realignment(ref_logp, *own, beta=beta, weights=LAMBDAS)
        controller = self.view.module.kl.controller
        if controller.target is not None and controller.unit == "sequence":
            right = effective_beta(ref_logp, reward, controller.target)
            answers["target"] = {
                "kl": controller.target,
                # what a controller with this target should find; None: no coefficient gives it
                "beta": right if 0 < right < math.inf else None,
            }
        if self.view.module.ranks.leads:
            write_json(folder / "oracle.json", answers)


def report(
    prompts: tuple[str, ...], rows: list[Standing], beta: float, ref_logp: Any, reward: Any
) -> dict[str, Any]:
    """Of the final policy: each prompt's standing and their mean; beside them the exact frontier
    and best of n of the reference."""
    return {
        "beta": beta,
        "mean": mean_standing(rows).as_dict(),
        "prompts": [
            {"prompt": text, **row.as_dict()} for text, row in zip(prompts, rows, strict=True)
        ],
        "frontier": frontier(ref_logp, reward),
        "best_of_n": best_of_n_curve(ref_logp, reward),
    }
