"""The directory of a path's point: all that the same path has that ends there, written once and
whole, its policy published, its MLflow run under way."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from rlhf.callbacks.checkpoint import checkpoint_path, digest_path
from rlhf.callbacks.points import Results
from rlhf.config.schema import Config
from rlhf.config.stages import Stage
from rlhf.models.networks import Policy
from rlhf.rundir import noted, records
from rlhf.rundir.disk.aside import set_aside
from rlhf.rundir.disk.folder import link, whole_folder
from rlhf.rundir.disk.sealed import MANIFEST, write_sealed
from rlhf.rundir.files import write_bytes, write_text
from rlhf.rundir.read import read_json
from rlhf.rundir.status import is_finished, write_status
from rlhf.runs.path.cut import cut
from rlhf.runs.summary import final_evaluation, run_facts, summarise_run, tracked_as
from rlhf.stages import best_of_n, ppo
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.provenance import legs
from rlhf.stages.report import REPORT
from rlhf.stages.table import fingerprints, publish
from rlhf.tracking.base import Tracker

log = logging.getLogger(__name__)

AS_THEY_ARE = (REPORT, best_of_n.FILE)  # of the path's run: its points have the same
BY_ITERATION = (records.METRICS, records.SAMPLES, records.BY_PROMPT)  # timings are of one making


@dataclass(frozen=True, kw_only=True)
class PointWriter:
    """Writes the points of the path's run that `context` is of.

    Args:
        grid: the path's coefficients.
        parents: the artifacts that the run stands on.
        tracker: the run's.
    """

    context: StageContext
    stage: Stage
    grid: tuple[float, ...]
    parents: Parents
    tracker: Tracker

    def __call__(self, point: int, policy: Policy, results: Results) -> None:
        context = self._context(point)
        directory, prints = context.run_directory, fingerprints(context)
        if not self._is_there(directory):
            with whole_folder(directory) as work:
                here = elsewhere(context, context.cfg, work)
                self._record(here)
                results(work)
                made = ppo.save_trained(here, self.parents, policy, work)
                facts = point_facts(self.context.run_directory, self.grid, point)
                summary = summarise_run(here, self.stage, prints, self.parents, made, facts)
                if self.context.cfg.checkpoints.after_finish != "none":
                    keep_state(self.context.run_directory, work, summary["iterations"])
                noted.conclude(work, summary)
        self._announce(context, prints)

    def passed(self, points: int) -> None:
        """Of those that are there: what a kill may have left undone. Not of later ones, which may
        be set aside and written again: nobody delivers them meanwhile."""
        for point in range(points):
            context = self._context(point)
            if is_finished(context.run_directory):
                self._announce(context, fingerprints(context))

    def _context(self, point: int) -> StageContext:
        cfg = cut(self.context.cfg, self.grid, self.context.run_directory, point)
        return elsewhere(self.context, cfg, Path(cfg.paths.run_dir))

    def _is_there(self, directory: Path) -> bool:
        """Whether the point was written, and has what the run has recorded now. Another, or a
        damaged one, is set aside."""
        if not directory.exists():
            return False
        now = records.contents(self.context.run_directory)
        same = all(noted.is_noted(directory, name, now[name]) for name in BY_ITERATION)
        if is_finished(directory) and same and not noted.losses(directory):
            return True
        log.warning(
            "%s is damaged, or of another training: it is written again, and what was there is set"
            " aside as %s",
            *(directory, set_aside(directory).name),
        )
        return False

    def _record(self, here: StageContext) -> None:
        """All that the run has until now, as the point's."""
        run, work = self.context.run_directory, here.run_directory
        now = records.contents(run)
        for name in filter(lambda name: (run / name).exists(), now):
            write_bytes(work / name, now[name])
        for name in filter(lambda name: (run / name).exists(), AS_THEY_ARE):
            shutil.copyfile(run / name, work / name)
        write_text(work / noted.CONFIG, OmegaConf.to_yaml(here.written))
        last = records.last_recorded(run)
        reached = [leg for leg in legs.read(run) if leg["from_iteration"] < last]
        own = [{"run": run.name, **leg} for leg in reached]
        write_sealed(work / legs.FILE, {"legs": own})
        noted.write_manifest(work / noted.MANIFEST, manifest_of(run, here))
        ended = {"iteration": last, "iterations": last, "exit_code": 0}
        write_status(work, state="finished", stage=self.stage.name, **ended)

    def _announce(self, context: StageContext, prints: Mapping[str, str]) -> None:
        """Publishes the point's policy, and has its MLflow run made; where that was done, nothing
        more comes of it."""
        directory = context.run_directory
        digest = str(read_json(directory / noted.SUMMARY)["policy_sha256"])
        metrics = final_evaluation(directory)
        publish(context, self.stage, prints, policy_sha256=digest, metrics=metrics)
        datasets = context.datasets(*self.stage.data)
        shown = tracked_as(context, self.stage, prints)
        self.tracker.add(directory, datasets=datasets, **shown)


def keep_state(run: Path, work: Path, iteration: int) -> None:
    """Gives a point the checkpoint of its end: where a finished run keeps its last one, a point
    does."""
    source, target = checkpoint_path(run, iteration), checkpoint_path(work, iteration)
    target.parent.mkdir()
    for name in (digest_path, lambda path: path):
        link(name(source), name(target))


def point_facts(run: Path, grid: tuple[float, ...], point: int) -> dict[str, Any]:
    """What a summary says of a path: the name of its run, the point's number from 0, and how many
    the path has."""
    return {"run": run.name, "point": point, "points": len(grid)}


def elsewhere(context: StageContext, cfg: Config, directory: Path) -> StageContext:
    """The same data and models under another config of the KL, in another directory."""
    other = replace(context, cfg=cfg, run_directory=directory, write_point=[])
    made = vars(context).keys() - context.__dataclass_fields__.keys() - {"plain", "written"}
    vars(other).update({name: vars(context)[name] for name in made})
    return other


def manifest_of(place: Path, here: StageContext) -> dict[str, Any]:
    """The manifest of the run in `place`, with what differs of this one; the legs are those in its
    directory."""
    facts, others = run_facts(here), (noted.KEY, MANIFEST, "resumed_under_another")
    return {
        **{k: v for k, v in read_json(place / noted.MANIFEST).items() if k not in others},
        **{key: facts[key] for key in ("name", "study", "sweep")},
        "hash": facts["config_hash"],
        "config": here.written,
        **legs.provenance(legs.read(here.run_directory)),
    }
