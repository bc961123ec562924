"""The model card: README.md of a model's directory, made from its manifest."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rlhf.export import facts
from rlhf.export.made import Made, What
from rlhf.metrics import KL
from rlhf.rundir.read import read_json
from rlhf.rundir.secrets.redact import redact_message

if TYPE_CHECKING:
    from rlhf.export.realigned import Realigned

TEMPLATES = Path(__file__).parent / "templates"
NAME = "README.md"


def card(
    made: Made,
    what: What,
    *,
    name: str,
    exported: bool = True,
    adapter: bool = False,
    realigned: Realigned | None = None,
) -> str:
    """The card as markdown, opened by the YAML that the hub reads; without secrets.

    Args:
        name: what the model is loaded by: its directory, or its name on a hub.
        exported: False where it has yet to be written there.
        adapter: it is PEFT's, and stands beside its base.
        realigned: it is the policy's mixture with the one that it began from.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = cell
    values = {**_values(made, what), "name": name, "exported": exported, "alone": adapter}
    values["realigned"] = facts.realigned(made, realigned.weight, realigned.by) if realigned else {}
    text = environment.get_template(f"{what}.md").render(values)
    front = yaml.safe_dump(front_matter(made, what, adapter), sort_keys=False, allow_unicode=True)
    return redact_message(f"---\n{front}---\n\n{text}")


def front_matter(made: Made, what: What, adapter: bool = False) -> dict[str, Any]:
    """What the hub reads of a card. A licence or base model that nobody declared is not made up."""
    base, sources = facts.base_model(made), facts.data_sources(made)
    way = made.algorithm.lower() if made.stage == "ppo" else made.stage
    tag = "reward-model" if what == "reward_model" else way.replace("_", "-")
    kept = {
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-classification" if what == "reward_model" else "text-generation",
        "license": "unknown" if base["license"] == facts.UNDECLARED else base["license"],
        "base_model": base["hub"],
        "datasets": sorted({source["name"] for source in sources}),
        "tags": [
            *("rlhf", tag, *(["kl-regularised"] if made.is_held else [])),
            *(["lora"] if facts.adapter(made, what) else []),
        ],
    }
    return {key: value for key, value in kept.items() if value}


def _values(made: Made, what: What) -> dict[str, Any]:
    summary, place = made.summary, made.run or made.directory
    rows = facts.siblings(made)
    generation = made.config.get("generation") or {}
    return {
        "made": made,
        "stage": facts.TITLES.get(made.stage, made.algorithm),
        "base": facts.base_model(made),
        "lineage": facts.lineage(made),
        "sources": facts.data_sources(made),
        "parts": facts.data_parts(made),
        "settings": facts.settings(made),
        "adapter": facts.adapter(made, what),
        "kl": facts.with_error(summary, KL),
        "rewards": facts.rewards(summary),
        "siblings": rows,
        "reward_names": list(dict.fromkeys(key for row in rows for key in row["rewards"])),
        "sweep": made.config.get("sweep") or (place.parent.name if rows else None),
        "place": shlex.quote(_shown(made.directory)),
        "reproduce": f"rlhf reproduce {shlex.quote(_shown(place))}",
        "overrides": shlex.join(facts.overrides(made)),
        "versions": made.manifest.get("versions") or {},
        "revision": _revision(made),
        "generation": {k: generation[k] for k in facts.SAMPLING if k in generation},
        "stop": generation.get("stop"),
        "warnings": [str(w) for w in summary.get("warnings") or _own_warnings(made)],
        "metrics": _reward_model_metrics(made) if what == "reward_model" else {},
    }


def _revision(made: Made) -> str:
    git = made.manifest.get("git") or {}
    changed = " with changes" if git.get("dirty") else ""
    return str(git.get("revision") or "not recorded")[:12] + changed


def _own_warnings(made: Made) -> list[Any]:
    return list((made.manifest.get("metrics") or {}).get("warnings") or ())


def _reward_model_metrics(made: Made) -> dict[str, Any]:
    place = made.artifact("reward_model")
    if place is None:
        return {}
    metrics = read_json(place / "manifest.json").get("metrics") or {}
    return {k: v for k, v in metrics.items() if isinstance(v, (int, float))}


def _shown(place: Path) -> str:
    """The place as it was under the folder that the run was made in: `sweeps/x/y`; a card tells no
    folder of the machine."""
    parts = place.absolute().parts
    roots = [i for i, part in enumerate(parts) if part in ("outputs", "sweeps")]
    return str(Path(*parts[roots[-1] :])) if roots else place.absolute().name


def cell(value: object) -> str:
    """Text for a cell of a table in markdown."""
    return " ".join(str(value).replace("|", "\\|").split())
