"""The best policy of a sweep for MLflow's model pages."""

from __future__ import annotations

from typing import Any

from rlhf.compare.read import Run
from rlhf.compare.statistics import Study
from rlhf.export.card import card
from rlhf.export.made import NoModel, find
from rlhf.metrics import KL
from rlhf.rundir.read import number
from rlhf.tracking.models.policy import BestPolicy, log_best_policy, model_link
from rlhf.tracking.state import read_own


def best_run(study: Study) -> Run | None:
    """The run of the setting that the comparison calls highest, where its responses end; of several
    seeds the one with the most of the reward that decides. None where no run has a reward."""
    findings = study.findings
    if findings is None or findings.praised is None:
        return None
    runs = [
        run for run in findings.praised.runs if number(run.summary.get(findings.key)) is not None
    ]
    return max(runs, key=lambda run: float(run.summary[findings.key]), default=None)


def publish_best(uri: str, study: Study, *, sweep: str, summary_run: str) -> dict[str, str]:
    """Logs the best policy as a model of MLflow; returns the link to its page. Nothing where no
    policy is best, it is not on this disk, or MLflow has not its run. Raises what MLflow raises."""
    run = best_run(study)
    state = read_own(run.directory) if run is not None else {}
    if run is None or not state.get("run_id") or state.get("uri") != uri:
        return {}
    try:
        made = find(run.directory)
        folder = made.folder("policy")
    except NoModel:
        return {}
    best = BestPolicy(
        sweep=sweep,
        sweep_directory=study.directory,
        run_id=str(state["run_id"]),
        folder=folder,
        digest=str(run.summary.get("policy_sha256") or run.name),
        card=card(made, "policy", name=f"{run.name}-policy", exported=False),
        params=_params(study, run),
        metrics={key: run.summary[key] for key in (*study.rewards, KL) if key in run.summary},
        tags={"verdict": study.findings.verdict.claim if study.findings else "", "run": run.name},
    )
    experiment_id = str(state["experiment_id"])
    model_id = log_best_policy(uri, experiment_id, summary_run, best)
    return {"best policy": model_link(uri, experiment_id, model_id)}


def _params(study: Study, run: Run) -> dict[str, Any]:
    """What the sweep varies, the coefficient and the controller."""
    keys = dict.fromkeys(["kl.coef", "kl.controller", *study.differing, "seed"])
    return {key: run.config[key] for key in keys if key in run.config}
