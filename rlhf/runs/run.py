"""One run, whole: its stages, its directory, its tracker and how it ended."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from omegaconf import OmegaConf

from rlhf.callbacks.checkpoint import tidy
from rlhf.config.naming import stage_title
from rlhf.config.properties import is_trained, most_iterations, needed_stages, path_grid
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES, Stage
from rlhf.config.validate import ConfigError, cautions
from rlhf.data.records import Loaded
from rlhf.realign.finished import at_the_end
from rlhf.realign.measure import Folders
from rlhf.rundir import noted, records
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import write_json, write_text
from rlhf.rundir.lock import owned
from rlhf.rundir.read import read_json
from rlhf.rundir.status import is_finished, recorded_end, write_status
from rlhf.runs import finished, longer, ready
from rlhf.runs.begun import check_begun
from rlhf.runs.common import made as common
from rlhf.runs.machine.entered import KEY, entered_with
from rlhf.runs.machine.faults import machine_faults
from rlhf.runs.machine.fits import check_memory
from rlhf.runs.machine.room import check_room
from rlhf.runs.path import refine
from rlhf.runs.path.ended import make_points_whole
from rlhf.runs.path.write import PointWriter, point_facts
from rlhf.runs.stopping import stoppable
from rlhf.runs.summary import (
    Summary,
    final_evaluation,
    made_by_others,
    parents_warnings,
    run_facts,
    summarise_artifact,
    summarise_run,
    tracked_as,
)
from rlhf.stages import best_of_n
from rlhf.stages.artifacts import manifest_of
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.provenance import legs
from rlhf.stages.provenance.manifest import manifest
from rlhf.stages.ranks.launch import team_of
from rlhf.stages.table import artifacts, fingerprints, publish, train
from rlhf.tracking.ended.deliver import deliver_all

log = logging.getLogger(__name__)


def run(cfg: Config, *, directory: Path, loaded: Loaded | None = None) -> Summary:
    """Brings `directory` to its end, from wherever it is, and returns its summary.

    Args:
        cfg: the validated config.
        directory: the run's own; a finished one is left as it is.
        loaded: the config's data, where it was read before.

    Raises:
        DataError: rows are wrong or missing; nothing was trained.
        ModelError: the model does not fit its tokenizer or the run; nothing was trained.
        ConfigError: a piece refuses its arguments, or this machine lacks what is asked; nothing was
            trained.
        Stopped: a signal came, or the time limit passed; the state is saved.
        RunFailed: the directory belongs to another run, or another process works in it.
    """
    if wrong := machine_faults([cfg]):
        raise ConfigError(wrong)
    loaded = loaded or common.load(cfg)
    context = StageContext(cfg=cfg, **loaded._asdict(), run_directory=directory, team=team_of(cfg))
    common.lend(context)
    with (
        closing(context.team),
        owned(directory),
        stoppable(directory, cfg.time_limit),
        _threads(cfg.trainer.threads),
    ):
        check_begun(directory, context)
        if is_finished(directory):
            return _made_before(cfg, directory)
        noted.forget(directory)
        with recorded_end(directory):
            write_text(directory / "config.yaml", OmegaConf.to_yaml(context.written))
            ready.check_model(context)
            ready.check_lost(context)
            prints = fingerprints(context)
            ready.check_data(context, prints)
            if "hash" not in read_json(directory / "manifest.json"):
                _write_manifest(context)
            missing = [s for s in prints if context.store.find(s, prints[s]) is None]
            trained = [s for s in missing if is_trained(cfg, s)]
            check_room(context, trained)
            check_memory(context, trained)
            for caution in cautions(cfg):
                log.warning("%s", caution)
            summary = _go_through_stages(context, prints)
        _deliver(directory)
        return summary


def _made_before(cfg: Config, directory: Path) -> Summary:
    finished.make_whole(directory)
    if (grid := path_grid(cfg.kl)) and STAGES[cfg.stage].is_run:
        make_points_whole(cfg, grid, directory)
    _deliver(directory)
    return read_json(directory / "summary.json")


def _deliver(directory: Path) -> None:
    """What an earlier command could not, of a run that has ended or of the stages it stands on."""
    if warning := deliver_all(directory):
        log.warning("%s", warning)


def _go_through_stages(context: StageContext, prints: Mapping[str, str]) -> Summary:
    """The stages that the run needs, each where its parents are there."""
    there = {name for name, own in prints.items() if context.store.find(name, own) is not None}
    paths = artifacts(context, prints)
    # a stage that was made now has told its own
    before = {name: path for name, path in paths.items() if name in there}
    for warning in (*parents_warnings(before), *made_by_others(before)):
        log.warning("%s", warning)
    stage = STAGES[context.cfg.stage]
    if stage.is_run:
        return _train_here(context, stage, prints, paths)
    return _written(context, summarise_artifact(context, paths[stage.name]))


def _train_here(
    context: StageContext, stage: Stage, prints: Mapping[str, str], parents: Parents
) -> Summary:
    """The stage whose directory is the run's: trained, tracked as the run, its policy published."""
    cfg, directory = context.cfg, context.run_directory
    stands_on = {name: prints[name] for name in parents}
    # a resumed run must go on from the very SFT policy and reward model that it began with
    begun = read_json(directory / "manifest.json")["fingerprints"]
    for parent, fingerprint in stands_on.items():
        if begun.get(parent, fingerprint) != fingerprint:
            raise RunFailed(
                f"{directory} began from {parent} {begun[parent]}, now it would be {fingerprint}:"
                " move it away to start anew"
            )
    if grid := path_grid(cfg.kl):
        refine.take_over(context, grid, stands_on)
    else:
        longer.take_over(context, stands_on)
    _write_manifest(context, stands_on, parents)
    if cfg.best_of_n.samples:
        write_status(directory, state="running", stage="best_of_n", iteration=0, iterations=0)
        curve = best_of_n.best_of_n_curve(context, parents["sft"], parents.get("reward_model"))
        write_json(directory / best_of_n.FILE, curve)
    iterations = most_iterations(cfg)
    begins = {"stage": stage.name, "title": stage_title(context.plain, stage.name)}
    write_status(directory, state="running", iteration=0, iterations=iterations, **begins)
    with context.tracked(directory, stage, **tracked_as(context, stage, prints)) as tracker:
        if grid:
            points = PointWriter(
                context=context, stage=stage, grid=grid, parents=parents, tracker=tracker
            )
            context.write_point[:] = [points]
        results = train(context, stage, parents, directory, tracker)
        _realign(context, parents)
        publish(context, stage, prints, metrics=final_evaluation(directory), **results)
        path = point_facts(directory, grid, len(grid) - 1) if grid else None
        summary = summarise_run(context, stage, prints, parents, results, path)
        _written(context, summary)
    tidy(directory, cfg.checkpoints.after_finish)
    return summary


def _realign(context: StageContext, parents: Parents) -> None:
    """The policies between the SFT policy and the one that the run ended with, where it asks."""
    cfg, directory = context.cfg, context.run_directory
    (directory / noted.REALIGN).unlink(missing_ok=True)  # of an earlier policy in this place
    if not cfg.realign.lambdas:
        return
    gc.collect()  # the networks of training, which Lightning's objects hold in circles
    last = records.last_recorded(directory)
    write_status(directory, state="running", stage="realign", iteration=last, iterations=last)
    own = parents.get("reward_model")
    reward_models = [own, *context.members] if own else []
    policy = directory / noted.POLICY
    at_the_end(context, Folders(policy=policy, start=parents["sft"], reward_models=reward_models))


def _written(context: StageContext, summary: Summary) -> Summary:
    noted.conclude(context.run_directory, summary)
    return summary


def _write_manifest(
    context: StageContext,
    stands_on: Mapping[str, str] | None = None,
    parents: Parents | None = None,
) -> None:
    """`stands_on`: the fingerprints of `parents`."""
    facts, directory = run_facts(context), context.run_directory
    made_with = {
        name: {part: manifest_of(path).get(part) for part in ("versions", "git", "exact_resume")}
        for name, path in (parents or {}).items()
    }
    content = manifest(
        kind="run",
        stage=context.cfg.stage,
        seed=facts["seed"],
        hash=facts["config_hash"],
        name=facts["name"],
        study=facts["study"],
        sweep=facts["sweep"],
        fingerprints={"data": context.data.fingerprint, **(stands_on or {})},
        parents_made_with=made_with,
        **({"ensemble": [path.name for path in context.members]} if context.members else {}),
        data=context.data_parts,
        config=context.written,
        **(
            context.fitted.counts
            if ready.draws(context, [s.name for s in needed_stages(context.cfg)])
            else {}
        ),
        **({KEY: entered} if (entered := entered_with(context.cfg)) else {}),
    )
    # what it began with stays: a leg that differs is added, nothing is written over
    content |= legs.provenance(legs.read(directory))
    noted.write_manifest(directory / "manifest.json", content)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """torch's threads while a run lasts: sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
