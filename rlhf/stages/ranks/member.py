"""A stage on a rank above 0: the same module, fitted with the others, and nothing written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rlhf.config.build import build
from rlhf.config.pieces.tracking import NoTracker
from rlhf.config.schema import Config
from rlhf.data.records import Loaded
from rlhf.rundir.errors import RunFailed
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.ranks.meeting import Meeting, Task
from rlhf.stages.ranks.team import FitEnded, Member
from rlhf.stages.table import RECIPES
from rlhf.tracking.base import Tracker


def train_as_member(cfg: Config, loaded: Loaded, task: Task, meeting: Meeting, number: int) -> None:
    """
    Raises:
        RunFailed: this rank's data is not that of rank 0.
    """
    reward_model = cfg.reward_model.model_copy(update={"seed": task.reward_seed})
    context = StageContext(
        cfg=cfg.model_copy(update={"reward_model": reward_model}),
        **loaded._asdict(),
        run_directory=Path(task.directory),
        members=[Path(path) for path in task.members],
        team=Member(meeting, number),
    )
    if context.data.fingerprint != task.data:
        raise RunFailed("its data is not that of rank 0: did a file change after the run began?")
    nowhere: Tracker = build(NoTracker(_target_=NoTracker.addresses[0]))
    parents: Parents = {stage: Path(path) for stage, path in task.parents.items()}
    with suppress(FitEnded):
        RECIPES[task.stage].train(context, parents, Path(task.directory), nowhere)
