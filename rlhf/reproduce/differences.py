"""The things that are no longer as they were when a run was made: its config, the packages, the
code, the machine, the data, the stages it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.config.plugins.folders import conf_folders
from rlhf.config.stages import STAGES
from rlhf.stages.provenance import manifest, whole

ABSENT = "(none)"
UNKNOWN = "(not recorded)"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing, then and now, as texts. `note` says what else is known of it."""

    kind: str  # config, package, code, machine, legs, data or stage
    name: str
    then: str
    now: str
    note: str = ""


def _changed(kind: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    pairs = {
        name: (str(then.get(name, ABSENT)), str(now.get(name, ABSENT))) for name in [*then, *now]
    }
    return [
        Difference(kind=kind, name=name, then=before, now=after)
        for name, (before, after) in pairs.items()
        if before != after
    ]


def packages(kept: Mapping[str, Any]) -> list[Difference]:
    """A plugin that was installed since had no part in the run."""
    then: Mapping[str, Any] = kept.get("versions", {})
    plugins = {plugin.distribution for plugin in conf_folders().plugins}
    now = {k: v for k, v in manifest.versions().items() if k in then or k not in plugins}
    return _changed("package", then, now)


def machine(kept: Mapping[str, Any], *, gpu: bool) -> list[Difference]:
    """`gpu`: whether the run uses one. Imports torch."""
    then, now = kept.get("hardware"), manifest.hardware()
    if then is None:
        return [Difference(kind="machine", name="cpu", then=UNKNOWN, now=now["cpu"])]
    return _changed(
        "machine", *({k: v for k, v in side.items() if gpu or k != "gpu"} for side in (then, now))
    )


def code(kept: Mapping[str, Any]) -> list[Difference]:
    """The source's revision, and the changes that nobody had committed, by their sha256."""
    sides = (
        {
            "git revision": str(side.get("revision", ""))[:12] or "(no repository)",
            "uncommitted changes": (
                str(side.get("changes", UNKNOWN))[:16] if side.get("dirty") else "none"
            ),
        }
        for side in (kept.get("git") or {}, manifest.git())
    )
    return _changed("code", *sides)


def legs(kept: Mapping[str, Any]) -> list[Difference]:
    """One for a run that was cut and went on under other packages, code or another machine."""
    differing = kept.get("resumed_under_another")
    if not isinstance(differing, list):
        return []
    note = "it was cut and went on; one that nobody stops may have other numbers"
    then, now = "; ".join(map(str, differing)), "in one go"
    return [Difference(kind="legs", name="exact_resume=false", then=then, now=now, note=note)]


def data(
    kept: Mapping[str, Any], fingerprint: str, parts: Mapping[str, Mapping[str, Any]]
) -> list[Difference]:
    """The data's fingerprint; where it is another, which part of it and how many rows it had and
    has."""
    before = str(kept.get("fingerprints", {}).get("data", ABSENT))
    if before == fingerprint:
        return []
    then: Mapping[str, Mapping[str, Any]] = kept.get("data") or {}
    none = {"rows": "no", "sha256": None}
    pairs = {
        name: (then.get(name, none), parts.get(name, none))
        for name in (dict.fromkeys([*then, *parts]) if then else ())
    }
    notes = [
        f"{name}: {old['rows']} rows"
        + (", other content" if old["rows"] == new["rows"] else f" then, {new['rows']} now")
        for name, (old, new) in pairs.items()
        if old["sha256"] != new["sha256"]
    ]
    return [
        Difference(
            kind="data",
            name="fingerprint",
            then=before[:16],
            now=fingerprint[:16],
            note="; ".join(notes),
        )
    ]


def damaged(stage: str, artifact: Path) -> list[Difference]:
    """The original's artifact of a stage, where it is no longer what was published."""
    faults = whole.damage(artifact)
    note = f"{'; '.join(faults)}: a difference from it says nothing, and it is not taken over"
    entry = Difference(kind="stage", name=stage, then="as published", now="damaged", note=note)
    return [entry] if faults else []


def stages(then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """Fingerprints of the stages that a run stands on: they cover settings, data, tokenizer, model
    and the stages before."""
    names = [name for name in then if name in STAGES and not STAGES[name].is_run]
    return _changed("stage", *({k: side[k] for k in names if k in side} for side in (then, now)))
