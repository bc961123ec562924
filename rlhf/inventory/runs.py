"""A run's directory as an entry of the inventory."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf.config.stages import STAGES
from rlhf.inventory.disk import Files, disk_of, newest, scan, under
from rlhf.inventory.entries import Key, Measured, RunEntry
from rlhf.inventory.needs import base_of, named_paths
from rlhf.metrics import DISAGREEMENT, GOLD, KL, PROXY
from rlhf.rundir.noted import CONFIG, KEY as RECORDS, MANIFEST, POLICY, SUMMARY, is_sealed
from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import collecting, last_row, number, read_json, read_object
from rlhf.rundir.records import METRICS
from rlhf.rundir.shapes import fitting
from rlhf.rundir.status import STATUS, RunState, SweepLauncher, read_launcher, run_state

CHECKPOINTS = "checkpoints"
MARKS = (CONFIG, MANIFEST, STATUS, SUMMARY)  # a run has some of these from its first moment on
_CHECKPOINT = re.compile(r"checkpoints/iteration-(\d{6,})\.ckpt", re.ASCII)


def read_run(directory: Path, launcher: SweepLauncher | None = None) -> RunEntry:
    """The run in a directory, which need not be there: a job that has not begun.

    Args:
        launcher: its sweep's; read from the directory above where it is not given.
    """
    files = scan(directory)
    with collecting() as odd:
        summary, written = read_json(directory / SUMMARY), read_object(directory / MANIFEST)
        state = run_state(directory, launcher or read_launcher(directory.parent))
        ended = state.state == "finished"
        row = summary if ended else last_row(directory / METRICS)
        points = tuple(map(read_run, points_of(directory))) if "points" in files else ()
    manifest = fitting(MANIFEST, written or {})[0] or {}
    unsealed = written is not None and not is_sealed(written)
    odd += [(directory / MANIFEST, "it is not what was written")] if unsealed else []
    odd_files = dict.fromkeys(
        f"{path.name}: {what}" for path, what in odd if path.parent == directory
    )
    noted = {} if unsealed or not ended else manifest.get(RECORDS)
    config = manifest.get("config") if isinstance(manifest.get("config"), dict) else {}
    prints = {**manifest.get("fingerprints", {}), **(summary.get("fingerprints", {}))}
    stage = str(manifest.get("stage") or summary.get("stage") or "")
    reads = (*named_paths(config or {}), *base_of(directory / POLICY, files, f"{POLICY}/"))
    return RunEntry(
        name=directory.name,
        directory=directory,
        state=state.state,
        damage=(*odd_files, *_missing(files, noted, ended=ended)),
        **_whose(directory, manifest, summary),
        stage=stage,
        reward=_reward(row),
        kl=_measured(row, KL, "kl"),
        **_progress(state, summary, row),
        changed=number(state.status.get("time")) or newest(files),
        disk=disk_of(files),
        checkpoints=disk_of(files, under(CHECKPOINTS)),
        checkpoint=_last_checkpoint(files),
        parents=_parents(prints, manifest, stage),
        made=Key(stage, str(prints[stage])) if ended and stage in prints else None,
        reads=reads,
        points=points,
        manifest=manifest,
    )


def _whose(
    directory: Path, manifest: Mapping[str, Any], summary: Mapping[str, Any]
) -> dict[str, Any]:
    """Study, sweep and seed."""
    known = {**summary, **manifest}
    sweep, seed = known.get("sweep"), known.get("seed")
    return {
        "study": str(known.get("study") or directory.absolute().parent.name),
        "sweep": str(sweep) if sweep else None,
        "seed": seed if isinstance(seed, int) else None,
    }


def _progress(
    state: RunState, summary: Mapping[str, Any], row: Mapping[str, Any]
) -> dict[str, Any]:
    status = state.status
    done = summary.get("iterations", status.get("iteration", row.get("iteration")))
    return {"iteration": done, "iterations": summary.get("iterations", status.get("iterations"))}


def _parents(prints: Mapping[str, Any], manifest: Mapping[str, Any], stage: str) -> tuple[Key, ...]:
    """The artifacts that it stands on, an ensemble's further reward models among them."""
    own = [Key(name, str(prints[name])) for name in STAGES if name in prints and name != stage]
    members = [Key("reward_model", str(member)) for member in manifest.get("ensemble", ())]
    return tuple(dict.fromkeys([*own, *members]))


def _reward(row: Mapping[str, Any]) -> Measured | None:
    """Gold, else proxy, else the first other reward, of the held-out prompts where they were
    asked."""
    names = [key.removeprefix("eval/") for key in row]
    others = [n for n in names if n.startswith("reward/") and not n.endswith("_se")]
    for name in (GOLD, PROXY, *sorted({*others} - {DISAGREEMENT})):
        if measured := _measured(row, name, name.removeprefix("reward/")):
            return measured
    return None


def _measured(row: Mapping[str, Any], key: str, name: str) -> Measured | None:
    evaluated = f"eval/{key}" in row
    full = f"eval/{key}" if evaluated else key
    value = number(row.get(full))
    return (
        None
        if value is None
        else Measured(name=name, value=value, se=number(row.get(f"{full}_se")))
    )


def _last_checkpoint(files: Collection[str]) -> int | None:
    """The iteration of the newest checkpoint that has its digest beside it."""
    named = (_CHECKPOINT.fullmatch(name) for name in files)
    whole = (int(m[1]) for m in named if m and m[0].removesuffix(".ckpt") + ".sha256" in files)
    return max(whole, default=None)


def _missing(files: Files, noted: Any, *, ended: bool) -> Iterator[str]:
    """What can be seen without reading its records: files that are gone or cut short.
    `rundir.noted.losses` reads all.

    Args:
        noted: what it noted of its files when it ended.
    """
    if files and not any(mark in files for mark in MARKS):
        yield f"{', '.join(MARKS)} are gone"
    if ended:
        yield from (f"{name} is gone" for name in (CONFIG, MANIFEST) if name not in files)
    for name, then in noted.items() if isinstance(noted, dict) else ():
        size = then.get("bytes") if isinstance(then, dict) else None
        if name not in files:
            yield f"{name} is gone"
        elif size is not None and files[name].st_size != size:
            yield f"{name} has {files[name].st_size} bytes of {size}"
