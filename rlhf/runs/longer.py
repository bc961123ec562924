"""A run that is longer than another of the same config goes on from where that one is, wherever
that gives the same numbers as a run from the beginning (docs/decisions/0015)."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.callbacks.checkpoint import Start, checkpoint_path, checkpoints, choose, digest_path
from rlhf.config.naming import HASH_VERSION, deciding_config, slug
from rlhf.config.pieces.algorithm import ALGORITHMS
from rlhf.config.properties import kl_properties
from rlhf.digests import one_spelling
from rlhf.functional.schedules import warmup_steps
from rlhf.rundir import records
from rlhf.rundir.disk.hashed import hashed
from rlhf.rundir.disk.sealed import write_sealed
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import flatten, write_text
from rlhf.rundir.read import name_odd, read_json
from rlhf.stages.context import StageContext
from rlhf.stages.provenance import legs

log = logging.getLogger(__name__)

LENGTH = "ppo.iterations"
# the settings whose meaning, or default, depends on a run's length
RELATIVE = (LENGTH, "ppo.lr_warmup", "kl.controller.iterations")
# of these algorithms a step learns from the best responses alone
KEEP_BEST = {piece.name for piece in ALGORITHMS.values() if getattr(piece, "keeps_best", False)}
Flat = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A run that differs in its length alone, and where it stands."""

    directory: Path
    start: Start


def take_over(context: StageContext, parents: Mapping[str, str]) -> None:
    """Gives a run that has nothing yet the state of the one that is furthest of those that are like
    it but for their length. They are left as they are.

    Args:
        parents: the fingerprints of the stages that the run stands on.
    """
    directory, cfg = context.run_directory, context.cfg
    if kl_properties(cfg.kl)["controller"].walks:  # its iterations are those of a point
        return
    if has_begun(directory) or cfg.rerun or not cfg.checkpoints.take_over:
        return
    prints = {"data": context.data.fingerprint, **parents}
    sources = [
        source
        for other in alike(directory, context.plain, prints)
        if (source := source_of(other, context.plain))
    ]
    for source in sorted(sources, key=lambda s: s.start.iteration, reverse=True):
        try:
            evaluated = source.start.iteration % cfg.evaluation.every == 0
            copy_state(source, directory, evaluated=evaluated)
        except FileNotFoundError:  # somebody is at work there, and has a newer one
            continue  # nothing was written
        log.warning(
            "goes on from iteration %d of %s, the same run but for its length: its numbers are"
            " those of a run from the beginning (which checkpoints.take_over=false makes)",
            *(source.start.iteration, source.directory),
        )
        return


def has_begun(directory: Path) -> bool:
    """Whether the run has a state of its own. Records and legs that a kill left while they were
    copied are none."""
    own = any("run" not in leg for leg in legs.read(directory))
    return bool(checkpoints(directory)) or own and records.last_recorded(directory) >= 0


def alike(directory: Path, plain: Mapping[str, Any], prints: Mapping[str, str]) -> Iterator[Path]:
    """The runs beside this one that have its config but for its length, its data and its stages."""
    mine = settings(plain)
    for path in sorted(directory.parent.glob(f"{slug(plain)}-*/manifest.json")):
        manifest = read_json(path)
        config = manifest.get("config")
        if path.parent == directory or manifest.get("hash_version") != HASH_VERSION:
            continue
        if not isinstance(config, dict) or manifest.get("fingerprints") != prints:
            continue
        theirs = settings(config)
        if rest(theirs) != rest(mine):
            continue
        if not all(isinstance(theirs.get(key), (int, float)) for key in RELATIVE[:2]):
            name_odd(path, f"its config has no {' or no '.join(RELATIVE[:2])}: left alone")
        elif theirs[LENGTH] != mine[LENGTH]:
            yield path.parent


def settings(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a run's numbers, with dotted keys."""
    return flatten(one_spelling(deciding_config(plain)))


def rest(flat: Flat) -> dict[str, Any]:
    return {key: value for key, value in flat.items() if key not in RELATIVE}


def source_of(other: Path, plain: Mapping[str, Any]) -> Source | None:
    """The state of the other run, if this one can go on from it; else it is said why not."""
    mine = settings(plain)
    reasons = [obstacle(mine, settings(read_json(other / "manifest.json")["config"]))]
    try:
        start = choose(other, below=mine[LENGTH])
        if start.path is None:
            reasons.append(
                f"it has no checkpoint before iteration {mine[LENGTH]}"
                " (checkpoints.after_finish=last keeps the last one of a finished run)"
            )
    except RunFailed as error:
        reasons.append(str(error))
    if any(reasons):
        log.warning(
            "%s, the same run but for its length, is not gone on with: %s",
            *(other, "; ".join(filter(None, reasons))),
        )
        return None
    return Source(directory=other, start=start)


def obstacle(mine: Flat, theirs: Flat) -> str:
    """Why a run of another length has other numbers from its first iteration on, and what would
    change that; empty where it has the same."""
    schedule = mine["ppo.lr_schedule"]
    if schedule != "constant":
        return (
            f"ppo.lr_schedule={schedule} falls over the whole run, so {LENGTH} decides every step"
        )
    if warm(mine) != warm(theirs):
        same = theirs["ppo.lr_warmup"] * theirs[LENGTH] / mine[LENGTH]
        return (
            f"ppo.lr_warmup={mine['ppo.lr_warmup']} is a share of the whole run, so its first steps"
            f" are other ones: ppo.lr_warmup={same:.12g} is as long a warm-up, and goes on from"
            " there"
        )
    key = "kl.controller.iterations"
    if mine.get(key) != theirs.get(key):
        return (
            f"{key} is {mine.get(key)} here and {theirs.get(key)} there, so the KL coefficients"
            f" are other ones: {key}={theirs.get(key)} goes on from there"
        )
    return ""


def warm(flat: Flat) -> int:
    """Optimizer steps of the warm-up."""
    size = flat["ppo.minibatch_size"]
    if flat.get("algorithm.piece") in KEEP_BEST:
        size *= flat["ppo.responses_per_prompt"]
    minibatches = -(-flat["ppo.rollout_size"] // size)
    steps = flat[LENGTH] * flat["ppo.inner_epochs"] * minibatches
    return warmup_steps(flat["ppo.lr_warmup"], steps)


def copy_state(source: Source, directory: Path, *, evaluated: bool) -> None:
    """Records and legs first: the checkpoint makes them count. `evaluated`: the iteration is one
    that this run evaluates.

    Raises:
        FileNotFoundError: the checkpoint was removed; nothing is written.
    """
    path, iteration = source.start.path, source.start.iteration
    assert path is not None
    digest = digest_path(path).read_text()
    with path.open("rb") as original:
        for name in records.FILES:
            if (source.directory / name).exists():
                shutil.copyfile(source.directory / name, directory / name)
        records.cut_back(directory, iteration, evaluated=evaluated)
        before = [{"run": source.directory.name, **leg} for leg in legs.read(source.directory)]
        reached = [leg for leg in before if leg["from_iteration"] < iteration]
        write_sealed(directory / legs.FILE, {"legs": reached})
        target = checkpoint_path(directory, iteration)
        with hashed(target, digest_path(target)) as copy:
            shutil.copyfileobj(original, copy)  # type: ignore[misc]
    write_text(digest_path(target), digest)
