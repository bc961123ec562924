"""What all runs of a command come to: stages that they share are counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlhf.config.pieces.scorer import ensemble_members
from rlhf.config.properties import path_grid
from rlhf.config.stages import STAGES
from rlhf.digests import digest, one_spelling
from rlhf.runs.machine.fits import Fit
from rlhf.runs.machine.room import disk_needs, kept
from rlhf.runs.machine.together import Fits
from rlhf.runs.planned.jobs import PlannedRun
from rlhf.runs.planned.stages import Known, StageState

ONCE = "best of n"  # responses that runs of the same stages share
SHARED = ("data", "model", "sft", "reward_model", "generation", "scorer", "best_of_n")


@dataclass(frozen=True, kw_only=True)
class SharedStage:
    """A stage and the number of the runs that need it."""

    name: str
    known: Known
    runs: int
    artifacts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Bytes, seconds (from, to) and counts of the runs that are missing."""

    runs: int  # all, each once
    would: dict[str, int]
    at_once: int
    unknown: int  # missing runs of whose model the shape is not known: nothing of them is counted
    responses: int
    work: tuple[float, float] | None  # of one run after the other; None where it is not estimated
    wall: tuple[float, float] | None  # with so many at a time
    memory: float
    kept: int  # that stays on the disk
    disk: int  # at one time, with the checkpoints of the runs at work


def shared_stages(runs: Iterable[PlannedRun]) -> list[SharedStage]:
    """Of the runs that are missing, those made once for all; the first to be made first."""
    states = [state for run in runs if run.is_missing for state in run.stages]
    counts, firsts = Counter(state.key for state in states), dict[str, StageState]()
    for state in states:
        firsts.setdefault(state.key, state)
    shared = [
        SharedStage(
            name=state.name,
            known=state.known,
            runs=counts[key],
            artifacts=tuple(map(str, state.artifacts)),
        )
        for key, state in firsts.items()
    ]
    return sorted(shared, key=lambda stage: [*STAGES].index(stage.name))


def totals(runs: Sequence[PlannedRun], fits: Sequence[Fit | None], at_once: int) -> Totals:
    """
    Args:
        fits: what each run needs; None of one that is finished, or whose model is not known.
        at_once: runs at a time.
    """
    once = dict(zip([run.directory for run in runs], zip(runs, fits, strict=True), strict=True))
    missing = [(run, fit) for run, fit in once.values() if run.is_missing]
    known = [(run, fit) for run, fit in missing if fit is not None]
    together = max(1, min(at_once, len(missing)))
    own, shared = [_own(run, fit) for run, fit in known], [*_shared(known)]
    times = [part.seconds for part in (*own, *shared) if part.seconds is not None]
    work = (sum(low for low, _ in times), sum(high for _, high in times))
    wall = _wall(own, shared, together)
    temporary = max((part.disk - part.kept for part in (*own, *shared)), default=0)
    stays = sum(part.kept for part in (*own, *shared))
    return Totals(
        runs=len(once),
        would=dict(Counter(run.would for run, _ in once.values())),
        at_once=together,
        unknown=len(missing) - len(known),
        responses=sum(part.responses for part in (*own, *shared)),
        work=work if times else None,
        wall=wall if times else None,
        memory=Fits(fits=tuple(fit for _, fit in known), at_once=together).memory,
        kept=stays,
        disk=stays + together * temporary,
    )


@dataclass(frozen=True, kw_only=True)
class Part:
    """A run without what it shares, or a stage that several share."""

    seconds: tuple[float, float] | None
    responses: int
    kept: int
    disk: int


def _own(run: PlannedRun, fit: Fit) -> Part:
    """The stage whose directory is the run's; of a run that goes on what is left of it."""
    name = fit.cfg.stage
    if not STAGES[name].is_run:
        return Part(seconds=None, responses=0, kept=0, disk=0)
    time, drawn = fit.seconds.get(name), fit.responses
    training = round(drawn.get("training", 0) * run.left)
    others = sum(n for purpose, n in drawn.items() if purpose not in ("training", ONCE))
    others -= sum(_of_stage(fit, "reward_model"))
    points = len(path_grid(fit.cfg.kl) or [None])
    size = points * fit.estimate.policy
    return Part(
        seconds=None if time is None else (time[0] * run.left, time[1] * run.left),
        responses=training + others,
        kept=size,
        disk=max(size, _most(fit, name)),
    )


def _shared(known: Sequence[tuple[PlannedRun, Fit]]) -> Iterable[Part]:
    """Each stage that is not made for certain, and what is measured once of the SFT policy."""
    seen = set[str]()
    for run, fit in known:
        for state in run.stages:
            if state.key not in seen and state.name in fit.counted:
                seen.add(state.key)
                yield _stage(fit, state.name)
        drawn = fit.responses.get(ONCE, 0)
        plain = fit.cfg.plain()
        key = digest(one_spelling({name: plain[name] for name in SHARED}))
        if drawn and key not in seen:
            seen.add(key)
            yield Part(seconds=None, responses=drawn, kept=0, disk=0)


def _stage(fit: Fit, name: str) -> Part:
    it = fit.estimate
    copies = max(1, ensemble_members(fit.cfg.scorer)) if name == "reward_model" else 1
    size = copies * kept(fit.cfg, name, it.weights, it.adapter)
    return Part(
        seconds=fit.seconds.get(name),
        responses=sum(_of_stage(fit, name)),
        kept=size,
        disk=max(size, _most(fit, name)),
    )


def _of_stage(fit: Fit, name: str) -> list[int]:
    if name != "reward_model":
        return []
    return [fit.responses.get(purpose, 0) for purpose in ("normalisation", "pairs")]


def _most(fit: Fit, name: str) -> int:
    """Bytes at one time, of one stage alone."""
    it = fit.estimate
    needs = disk_needs(fit.cfg, fit.directory, [name], it.weights, adapter=it.adapter)
    return sum(need.most for need in needs)


def _wall(own: Sequence[Part], shared: Sequence[Part], together: int) -> tuple[float, float]:
    """Shared stages come first, side by side as far as there are several."""
    least, most = 0.0, 0.0
    for parts in (shared, own):
        times = [part.seconds for part in parts if part.seconds is not None]
        side = max(1, min(together, len(times)))
        least += sum(time[0] for time in times) / side
        most += sum(time[1] for time in times) / side
    return least, most
