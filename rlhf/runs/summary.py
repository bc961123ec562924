"""The facts of a run for its summary, its name and its tags."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.config import titles
from rlhf.config.naming import algorithm_name, named_flat, run_hash
from rlhf.config.properties import kl_properties, of_algorithm
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES, Stage, decides
from rlhf.config.validate import cautions
from rlhf.kl.properties import descends
from rlhf.rollout.counts import totals
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import flatten, read_jsonl
from rlhf.rundir.read import last_row
from rlhf.stages.artifacts import manifest_of
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.provenance.legs import NUMERIC, provenance, read as legs_of
from rlhf.stages.provenance.manifest import versions
from rlhf.stages.table import stage_tags
from rlhf.stages.win_rates.rate import missing

Summary = dict[str, Any]


def final_evaluation(directory: Path) -> dict[str, Any]:
    """The last record's `eval/...` metrics, under the names that a summary gives them."""
    return {
        name.removeprefix("eval/"): value
        for name, value in last_row(directory / "metrics.jsonl").items()
        if name.startswith("eval/")
    }


def summarise_run(
    context: StageContext,
    stage: Stage,
    prints: Mapping[str, str],
    parents: Parents,
    results: Mapping[str, Any],
    path: Mapping[str, Any] | None = None,
) -> Summary:
    """The last evaluation, the SFT policy's beside it (`sft/...`), and what they were reached
    with.

    Args:
        path: of a run that is a path's point, what `point_facts` gives.
    """
    directory = context.run_directory
    records = _records(directory)
    first, last = records[0], records[-1]
    evaluation = final_evaluation(directory)
    baseline = {
        f"sft/{name.removeprefix('eval/')}": value
        for name, value in first.items()
        if name.startswith("eval/reward/")
    }
    made = provenance(legs_of(directory))
    coef = float(last["kl/coef"])
    return {
        **run_facts(context),
        "status": "finished",
        "stage": stage.name,
        "iterations": last["iteration"],
        "episodes": last["episodes"],
        **({"path": dict(path), "point_iterations": last["path/held"]} if path else {}),
        "kl.coef": context.cfg.kl.coef,
        "kl.coef_final": coef,  # that shaped the last rollout
        **kl_pieces(context.cfg),
        "kl.descends": _descended(context.cfg),
        # at the coefficient in force: not to be compared with that of another coefficient
        "objective": float(evaluation["ppo/score"]) - coef * float(evaluation["kl/sequence_nats"]),
        **evaluation,
        **{name: value for name, value in last.items() if name.startswith("oracle/")},
        **baseline,
        **_measures(stage, parents),
        **context.fitted.counts,
        "exact_resume": made["exact_resume"],
        "fingerprints": {"data": context.data.fingerprint, **prints},
        **results,
        "warnings": [*cautions(context.cfg), *_warnings(context, parents, made, records)],
        **_times(directory),
    }


def _descended(cfg: Config) -> str:
    """The divergence that the gradient of the penalty descends; of some algorithms their own."""
    if stated := of_algorithm(cfg.algorithm, "descends", ""):
        return stated
    if {"kl", "kl.placement"}.isdisjoint(of_algorithm(cfg.algorithm, "unused", ())):
        pieces = kl_properties(cfg.kl)
        return descends(pieces["estimator"], pieces["placement"])
    return f"nothing: algorithm={cfg.algorithm.name} has no penalty"


def _records(directory: Path) -> list[dict[str, Any]]:
    """Raises RunFailed where what the summary is made of is not among them."""
    records = read_jsonl(directory / "metrics.jsonl")
    if not records or not {"kl/coef", "episodes"} <= records[-1].keys():
        raise RunFailed(
            f"{directory / 'metrics.jsonl'} has lost the rows that the summary is made of: move"
            f" {directory} away to start anew"
        )
    return records


def _warnings(
    context: StageContext,
    parents: Parents,
    made: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    yield from filter(None, [context.fitted.warning])
    yield from parents_warnings(parents)
    for member in context.members:
        yield from parents_warnings({"reward_model": member})
    yield from resumed_under_others("it", made)
    yield from totals(records)
    if context.cfg.evaluation.win_rate is not None:
        yield from missing(records)


def parents_warnings(parents: Parents) -> list[str]:
    """What is to be known of the artifacts that a run stands on, as their makers wrote it down."""
    warnings = []
    for stage, path in parents.items():
        made, name = manifest_of(path), f"{stage} {path.name[:8]}"
        warnings += [f"{name}: {warning}" for warning in made["metrics"].get("warnings", ())]
        warnings += resumed_under_others(name, made)
    return warnings


def resumed_under_others(name: str, manifest: Mapping[str, Any]) -> list[str]:
    """A sentence where legs of a training, as its manifest tells of them, may not have given the
    numbers that one would have."""
    differing = manifest.get("resumed_under_another")
    if not isinstance(differing, list):
        return []
    return [
        f"{name} was cut and went on under another {'; '.join(map(str, differing))}: its numbers"
        " may differ from those of a run that nobody stopped"
    ]


def made_by_others(parents: Parents) -> list[str]:
    """A sentence for each artifact that other packages made than those of now."""
    now = {name: versions()[name] for name in NUMERIC}
    sentences = []
    for stage, path in parents.items():
        then = manifest_of(path).get("versions") or {}
        other = [f"{n} {then[n]} (now {now[n]})" for n in now if then.get(n, now[n]) != now[n]]
        if other:
            sentences.append(
                f"{stage} {path.name[:8]} is taken as it is, and was made with {', '.join(other)}:"
                " made now its numbers may be others"
            )
    return sentences


def summarise_artifact(context: StageContext, artifact: Path) -> Summary:
    """Of a run whose stage is an artifact: its directory points to it."""
    manifest = manifest_of(artifact)
    return {
        **run_facts(context),
        "status": "finished",
        "stage": manifest["stage"],
        "artifact": str(artifact),
        **manifest["metrics"],
        **{key: manifest[key] for key in ("exact_resume",) if key in manifest},
        "fingerprints": {**manifest["fingerprints"], manifest["stage"]: artifact.name},
        **_times(artifact),
    }


def run_facts(context: StageContext) -> dict[str, Any]:
    """The run's name, study, sweep, seed and hash."""
    cfg = context.cfg
    return {
        "name": context.run_directory.name,
        "study": cfg.study,
        "sweep": cfg.sweep,
        "seed": cfg.seed,
        "config_hash": run_hash(context.plain),
    }


def _measures(stage: Stage, parents: Parents) -> dict[str, Any]:
    """`sft/perplexity`, `reward_model/accuracy`: one number of each stage that the run's stands
    on, None of one that it does not need."""
    metrics = {name: manifest_of(path)["metrics"] for name, path in parents.items()}
    return {
        f"{parent.name}/{parent.measure.rpartition('/')[2]}": metrics.get(parent.name, {}).get(
            parent.measure
        )
        for parent in map(STAGES.__getitem__, stage.parents)
    }


def _times(directory: Path) -> dict[str, float]:
    """Seconds of training and evaluating: of the clock, and of the processors of all ranks. A run
    that an older version began does not know the latter."""
    rows = read_jsonl(directory / "timings.jsonl")
    seconds = {"wall_seconds": math.fsum(float(row["seconds"]) for row in rows)}
    if all("cpu" in row for row in rows):
        seconds["cpu_seconds"] = math.fsum(float(row["cpu"]) for row in rows)
    return {name: round(value, 3) for name, value in seconds.items()}


def kl_pieces(cfg: Config) -> dict[str, str]:
    """The YAML names of the KL pieces: `kl.controller`: adaptive, ..."""
    return {
        f"kl.{part}": getattr(cfg.kl, part).name
        for part in ("controller", "estimator", "placement", "reference")
    }


def tracked_as(context: StageContext, stage: Stage, prints: Mapping[str, str]) -> dict[str, Any]:
    """The run in MLflow: `name`, the words that a person tells runs apart by (`kl.coef=0.05 pid
    seed=1`, with whatever else the sweep varies); `params`, the settings that decide the result
    (`kl.controller`: pid); `tags`, which find and group runs, `setting` the same for all seeds."""
    cfg, flat = context.cfg, named_flat(flatten(context.plain))
    varied = titles.varied(context.run_directory)
    tags = {
        **stage_tags(context, stage, prints),
        "data": context.data.fingerprint,
        **({"sweep": cfg.sweep} if cfg.sweep else {}),
        "setting": titles.setting(flat, varied),
        "algorithm": algorithm_name(context.plain),
        **kl_pieces(cfg),
    }
    params = {key: value for key, value in flat.items() if decides(key)}
    return {"name": titles.run_label(flat, varied), "params": params, "tags": tags}
