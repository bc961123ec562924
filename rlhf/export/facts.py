"""What a model card says, of the manifest and the summary: plain values, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from rlhf.config.naming import named_flat
from rlhf.config.pieces.base import piece_name
from rlhf.config.titles import setting, varied
from rlhf.export.made import Made, What
from rlhf.metrics import KL
from rlhf.models.files.adapter import adapter_facts, is_adapter
from rlhf.rundir.files import flatten
from rlhf.rundir.noted import REALIGN
from rlhf.rundir.read import number, read_json, read_text
from rlhf.rundir.secrets.redact import redact_override, redact_text
from rlhf.rundir.words import plus_minus

UNDECLARED = "not declared"
# what a config's `generation` and transformers' generation_config.json both have
SAMPLING = ("temperature", "top_k", "top_p", "max_new_tokens")
# part of the data -> the stage that learns from it
LEARNS = {"demonstrations": "sft", "preferences": "reward_model", "prompts": "ppo"}
TITLES = {"sft": "SFT", "reward_model": "reward model"}
_FRONT = re.compile(r"\A---\n(.*?)\n---\s", re.DOTALL)


def front_matter(folder: Path) -> dict[str, Any]:
    """The YAML that the README.md of a model's folder opens with; empty where there is none."""
    match = _FRONT.match(read_text(folder / "README.md") or "")
    try:
        value = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        value = None
    return value if isinstance(value, dict) else {}


def base_model(made: Made) -> dict[str, Any]:
    """The model that everything began from, be it the policy that SFT was spared by (`sft.path`):
    `name`, `hub` (its name there, as far as known), its `license`. Of a folder of this computer its
    README tells, and only its last name is shown."""
    model = made.config.get("model") or {}
    if given := (made.config.get("sft") or {}).get("path"):
        model = {"path": given}
    path = model.get("path")
    if not path:
        about = ", ".join(f"{k} {v}" for k, v in model.items() if not k.startswith("_"))
        return {"name": f"random weights ({about})", "hub": None, "license": UNDECLARED}
    front = front_matter(Path(str(path)))
    local = Path(str(path)).is_dir() or Path(str(path)).is_absolute()
    hub = front.get("base_model") if local else str(path)
    hub = str(hub[0] if isinstance(hub, list) and hub else hub) if hub else None
    revision = f" ({model['revision']})" if model.get("revision") else ""
    return {
        "name": redact_text(f"{folder_name(str(path)) if local else path}{revision}"),
        "hub": hub,
        "license": str(front.get("license") or UNDECLARED),
    }


def folder_name(path: str) -> str:
    """The last name of a folder; of a run's policy the run's."""
    folder = Path(path)
    return folder.parent.name if folder.name == "policy" and folder.parent.name else folder.name


def data_sources(made: Made) -> list[dict[str, str]]:
    """Each source of the data: its name, where it came from and its licence, as the data's config
    declares them."""
    data = made.config.get("data") or {}
    name = piece_name(data) if "_target_" in data else "data"
    declared = [*_declared(data, name)]
    return declared or [{"name": name, "source": UNDECLARED, "license": UNDECLARED}]


def _declared(node: Any, name: str) -> Iterator[dict[str, str]]:
    if isinstance(node, Mapping):
        licence, source = node.get("license"), node.get("source")
        if isinstance(licence, str) or isinstance(source, str):
            yield {
                "name": str(node.get("name") or name),
                "source": redact_text(str(source)) if isinstance(source, str) else UNDECLARED,
                "license": str(licence) if isinstance(licence, str) else UNDECLARED,
            }
        for key, value in node.items():
            yield from _declared(value, f"{name}.{key}")
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _declared(value, f"{name}.{i}")


def data_parts(made: Made) -> list[dict[str, Any]]:
    """Rows and sha256 of each part of the data that the model's stages learned from."""
    parts = made.manifest.get("data") or {}
    return [
        {"name": name, "rows": part.get("rows"), "sha256": str(part.get("sha256"))[:16]}
        for name, part in parts.items()
        if isinstance(part, Mapping) and _learned(made, name)
    ]


def _learned(made: Made, part: str) -> bool:
    """False of a part whose stage the model did not go through, or found made."""
    stage = LEARNS.get(part)
    if stage is None or (part == "prompts" and made.stage != "sft") or part in made.learns_from:
        return True  # a reward model is normalised on responses to them
    settings = made.config.get(stage) or {}
    trained = settings.get("path") is None and settings.get("train", True)
    return bool(stage in made.prints and trained)


def lineage(made: Made) -> list[dict[str, str]]:
    """Base model, SFT, reward model, PPO: the fingerprint of each, and what it came to."""
    base = base_model(made)
    rows = [{"stage": "model", "name": base["name"], "result": f"licence: {base['license']}"}]
    for stage, own in made.prints.items():
        place = made.artifact(stage)
        metrics = read_json(place / "manifest.json").get("metrics", {}) if place else {}
        settings = made.config.get(stage) or {}
        given, trained = settings.get("path"), settings.get("train", True)
        how = f" (given: {folder_name(str(given))})" if given else ""
        how = how or ("" if trained else " (none: the model as it is)")
        rows.append(
            {
                "stage": TITLES.get(stage, made.algorithm),
                "name": f"`{own}`{how}",
                "result": _result(stage, metrics, made),
            }
        )
    return rows


def _result(stage: str, metrics: Mapping[str, Any], made: Made) -> str:
    if stage == "sft":
        value = number(metrics.get("val/perplexity", made.summary.get("sft/perplexity")))
        return "" if value is None else f"perplexity {value:.4g} on held-out rows"
    if stage == "reward_model":
        value = number(metrics.get("val/accuracy", made.summary.get("reward_model/accuracy")))
        pairs = metrics.get("val/pairs")
        of = f" {pairs}" if pairs else ""
        return "" if value is None else f"accuracy {value:.1%} of{of} held-out pairs"
    episodes, iterations = made.summary.get("episodes"), made.summary.get("iterations")
    return "" if episodes is None else f"{iterations} iterations, {episodes} responses"


def with_error(facts: Mapping[str, Any], key: str) -> str:
    """`0.336 ± 0.041`, the number and its standard error; empty where it is not known."""
    value, error = number(facts.get(key)), number(facts.get(f"{key}_se"))
    return "" if value is None else plus_minus(value, error or 0.0)


def rewards(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every reward of the last evaluation, with that of the SFT policy on the same prompts."""
    keys = [k for k in summary if k.startswith("reward/") and not k.endswith("_se")]
    return [
        {"name": k, "policy": with_error(summary, k), "sft": with_error(summary, f"sft/{k}")}
        for k in keys
    ]


def siblings(made: Made) -> list[dict[str, Any]]:
    """The points of the sweep that the run is a job of, itself among them; empty where it is
    none."""
    if made.run is None or not (made.run.parent / "sweep.json").is_file():
        return []
    jobs = read_json(made.run.parent / "sweep.json").get("jobs", ())
    rows = []
    for job in jobs:
        place = made.run.parent / str(job["name"])
        summary = read_json(place / "summary.json")
        config = read_json(place / "manifest.json").get("config") or {}
        rows.append(
            {
                "name": str(job["name"]),
                "setting": _setting(place, config) or str(job["name"]),
                "seed": config.get("seed", ""),
                "kl": with_error(summary, KL),
                "rewards": {row["name"]: row["policy"] for row in rewards(summary)},
                "own": place.name == made.run.name,
            }
        )
    return rows


def _setting(place: Path, config: Mapping[str, Any]) -> str:
    flat = named_flat(flatten(config))
    return setting(flat, varied(place)) if {"kl.controller", "kl.coef"} <= flat.keys() else ""


def overrides(made: Made) -> list[str]:
    """The words of the job's command, where it is a job of a sweep."""
    if made.run is None:
        return []
    jobs = read_json(made.run.parent / "sweep.json").get("jobs", ())
    words = next((job["overrides"] for job in jobs if job["name"] == made.run.name), ())
    return [redact_override(str(word)) for word in words]


def settings(made: Made) -> dict[str, Any]:
    """The settings that say how hard and from whom the policy was held, by their keys."""
    flat = named_flat(flatten(made.config))
    keys = ("kl.coef", "kl.controller", "kl.estimator", "kl.placement", "kl.reference")
    known = {key: flat[key] for key in (*keys, "algorithm", "scorer", "seed") if key in flat}
    final = made.summary.get("kl.coef_final")
    return known if final is None else {**known, "kl.coef at the end": f"{final:.4g}"}


def adapter(made: Made, what: What) -> dict[str, Any]:
    """Of a model that is an adapter: rank, factor, layers, and how the network beside it is called
    (of a folder its last name); empty of one whose weights were all trained."""
    place = made.folder(what)
    if not is_adapter(place):
        return {}
    known = adapter_facts(place)
    base, targets = str(known["base"]), known["targets"]
    return {
        "base": redact_text(Path(base).name if Path(base).is_absolute() else base),
        "sha256": str(known["base_sha256"] or "not recorded")[:12],
        "targets": ", ".join(map(str, targets)) if isinstance(targets, list) else targets,
        "r": known.get("r"),
        "alpha": known.get("lora_alpha"),
    }


def realigned(made: Made, weight: float, by: str) -> dict[str, Any]:
    """A mixture of the policy with the one that it began from: lambda, the way, and what `rlhf
    realign` has measured of it, empty where it has not."""
    curves = read_json(made.run / REALIGN).get("curves", ()) if made.run is not None else ()
    point: dict[str, Any] = next(
        (
            point
            for curve in curves
            if curve["by"] == by
            for point in curve["points"]
            if point["lambda"] == weight
        ),
        {},
    )
    keys = [KL, *(k for k in point if k.startswith("reward/") and not k.endswith("_se"))]
    return {
        "weight": f"{weight:g}",
        "by": by,
        "measured": {key: with_error(point, key) for key in keys if key in point},
    }
