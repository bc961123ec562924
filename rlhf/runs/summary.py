"""What is said of a run once it is over: its summary, its name, its tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.config import titles
from rlhf.config.naming import named_flat, run_hash
from rlhf.config.properties import kl_properties
from rlhf.config.schema import Config
from rlhf.config.stages import decides
from rlhf.config.validate import cautions
from rlhf.kl.properties import descends
from rlhf.rundir.files import flatten, read_jsonl
from rlhf.stages.artifacts import manifest_of
from rlhf.stages.context import Workshop

Summary = dict[str, Any]


def summarise_ppo(
    shop: Workshop,
    plain: Mapping[str, Any],
    directory: Path,
    parents: Mapping[str, str],
    results: Mapping[str, Any],
) -> Summary:
    """The last evaluation, the SFT policy's beside it (`sft/...`), and what they were reached
    with."""
    records = read_jsonl(directory / "metrics.jsonl")
    first, last = records[0], records[-1]
    evaluation = {
        name.removeprefix("eval/"): value
        for name, value in last.items()
        if name.startswith("eval/")
    }
    baseline = {
        f"sft/{name.removeprefix('eval/')}": value
        for name, value in first.items()
        if name.startswith("eval/reward/")
    }
    coef = shop.cfg.kl.coef
    return {
        **identity(shop, plain),
        "status": "finished",
        "stage": "ppo",
        "iterations": last["iteration"],
        "episodes": last["episodes"],
        "kl.coef": coef,
        "kl.coef_final": last["kl/coef"],  # that shaped the last rollout
        **kl_pieces(shop.cfg),
        "kl.descends": kl_descends(shop.cfg),
        "objective": float(evaluation["ppo/score"]) - coef * float(evaluation["kl/sequence_nats"]),
        **evaluation,
        **{name: value for name, value in last.items() if name.startswith("oracle/")},
        **baseline,
        "reward_model/accuracy": _metrics(shop, "reward_model", parents).get("val/accuracy"),
        "sft/perplexity": _metrics(shop, "sft", parents).get("val/perplexity"),
        "fingerprints": {"data": shop.data.fingerprint, **parents},
        "policy_sha256": results["policy_sha256"],
        "warnings": cautions(shop.cfg),
        "wall_seconds": _seconds(directory),
    }


def summarise_artifact(shop: Workshop, artifact: Path, plain: Mapping[str, Any]) -> Summary:
    """The run of a single stage: its directory points to the artifact."""
    made = manifest_of(artifact)
    return {
        **identity(shop, plain),
        "status": "finished",
        "stage": made["stage"],
        "artifact": str(artifact),
        **made["metrics"],
        "fingerprints": {**made["fingerprints"], made["stage"]: artifact.name},
        "wall_seconds": _seconds(artifact),
    }


def identity(shop: Workshop, plain: Mapping[str, Any]) -> dict[str, Any]:
    names = {"name": shop.run_directory.name, "study": shop.cfg.study, "sweep": shop.cfg.sweep}
    return {**names, "seed": shop.cfg.seed, "config_hash": run_hash(dict(plain))}


def _metrics(shop: Workshop, stage: str, parents: Mapping[str, str]) -> dict[str, Any]:
    if stage not in parents:
        return {}
    found: dict[str, Any] = manifest_of(shop.store.path(stage, parents[stage]))["metrics"]
    return found


def _seconds(directory: Path) -> float:
    return round(sum(float(row["seconds"]) for row in read_jsonl(directory / "timings.jsonl")), 3)


def kl_pieces(cfg: Config) -> dict[str, str]:
    """The YAML names of the KL pieces: `kl.controller`: adaptive, ..."""
    pieces = ("controller", "estimator", "placement", "reference")
    return {f"kl.{part}": getattr(cfg.kl, part).name for part in pieces}


def kl_descends(cfg: Config) -> str:
    """The divergence that the gradient of the penalty descends."""
    properties = kl_properties(cfg.kl)
    return descends(properties["estimator"], properties["placement"])


def run_label(shop: Workshop) -> str:
    """What a person tells runs apart by: `kl.coef=0.05 pid seed=1`, with whatever else the sweep
    varies."""
    return titles.run_label(
        named_flat(flatten(shop.cfg.plain())), titles.varied(shop.run_directory)
    )


def run_tags(shop: Workshop, parents: Mapping[str, str]) -> dict[str, str]:
    """What MLflow finds and groups runs by. `setting` is the same for all seeds."""
    cfg, varied = shop.cfg, titles.varied(shop.run_directory)
    return {
        "stage": "ppo",
        "study": cfg.study,
        "data": shop.data.fingerprint,
        **({"sweep": cfg.sweep} if cfg.sweep else {}),
        "setting": titles.setting(named_flat(flatten(cfg.plain())), varied),
        **kl_pieces(cfg),
        **{f"parent.{stage}": fingerprint for stage, fingerprint in parents.items()},
    }


def tracked_params(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the result, as MLflow's params: `kl.controller`: pid."""
    params = named_flat(flatten(dict(plain)))
    return {key: value for key, value in params.items() if decides(key)}
