"""The run or the sweep of a command line: planned, judged, started."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.commands.parts.ended import print_summary
from rlhf.commands.parts.judged import Judged, judge, needs
from rlhf.commands.parts.shown import first_job, refuse, say
from rlhf.config.composition.hydra_internals import run_composed
from rlhf.config.composition.plan import Plan, plan
from rlhf.config.naming import older_runs, other_version, run_hash, slug, stage_title
from rlhf.rundir.noted import is_complete
from rlhf.rundir.read import read_json
from rlhf.rundir.status import is_finished
from rlhf.runs.execute import directory_of, execute, leading
from rlhf.runs.machine.cluster import queue_again, several, started
from rlhf.runs.machine.entered import changes
from rlhf.sweeps.launchers.prepare import limit_threads

if TYPE_CHECKING:
    from hydra.types import TaskFunction
    from omegaconf import DictConfig

    from rlhf.config.composition.hydra_internals import Hydra


def command(
    hydra: Hydra, args: argparse.Namespace, faults: Sequence[str], task: TaskFunction
) -> int:
    """The exit code of a command, after it has run.

    Args:
        args: as Hydra's parser has them.
        faults: what is wrong with its options.
        task: a job of a sweep, as launchers call it.
    """
    planned = plan(hydra, args.overrides, multirun=args.multirun)
    if faults or planned.faults:
        return refuse([*faults, *planned.faults])
    if args.cfg or args.info is not None:
        return first_job(planned, args, task)
    cfg = None if planned.composed is None else planned.jobs[0].config
    if reason_not_to := several(os.environ, None if cfg is None else cfg.trainer):
        return refuse([reason_not_to])
    place = None if cfg is None else started(os.environ, cfg.trainer)
    if cfg is None or place is None:
        return _planned(hydra, args, planned, task)
    limit_threads(cfg.trainer.threads)
    if place.rank:  # it says nothing, and writes nothing
        return execute(cfg, directory=directory_of(cfg))
    with leading(cfg) as led:
        led.code = _planned(hydra, args, planned, task)
    return led.code


def _planned(hydra: Hydra, args: argparse.Namespace, planned: Plan, task: TaskFunction) -> int:
    judged = judge(planned)
    if judged.faults:
        return refuse(judged.faults)
    configs = judged.configs
    again = any(cfg.requeue for cfg in configs)
    if planned.composed is not None:
        return queue_again(again, _single(hydra, planned.composed, judged))
    # a single run says it itself
    warnings = [f"warning: {warning}" for warning in planned.warnings]
    say([*warnings, *needs(judged.fits)])
    from rlhf.sweeps.launchers.served import answer
    from rlhf.sweeps.multirun import sweep

    try:
        code, directory = sweep(hydra, planned, args.overrides, task)
    except SystemExit as stopped:
        queue_again(again, stopped.code)
        raise
    print(answer(_compared, directory), end="")
    return code


def _compared(directory: Path) -> str:
    """What the comparison of a sweep says in this terminal."""
    from rlhf.compare import compare
    from rlhf.compare.terminal import wide_console

    console = wide_console()
    with console.capture() as said:
        try:
            compare(directory, console=console)
        except Exception as error:  # does not change how the sweep ended
            again = f"  again: rlhf compare {directory}"
            print(f"the comparison failed: {error}\n{again}", file=sys.stderr)
    return said.get()


def _single(hydra: Hydra, composed: DictConfig, judged: Judged) -> int:
    cfg, loaded = judged.configs[0], judged.loaded
    directory = directory_of(cfg)
    # without a manifest, or with another run's, the run itself says what is wrong
    own = read_json(directory / "manifest.json").get("hash") == run_hash(cfg.plain())
    if own and is_complete(directory) and not changes(directory, cfg):
        print("this run was finished before; rerun=true starts another", file=sys.stderr)
        print(f"  {directory}", file=sys.stderr)
        from rlhf.config.pieces.tracking import trackers_of
        from rlhf.tracking.ended.deliver import deliver_all
        from rlhf.tracking.services.table import without

        wanted = [tracker.name for tracker in trackers_of(cfg.tracking).values()]
        if absent := without(directory, wanted):
            where = " or ".join(absent)
            print(f"  not in {where}: a run is tracked from its beginning on", file=sys.stderr)
        if warning := deliver_all(directory):
            print(warning, file=sys.stderr)
    else:
        older = older_runs(directory.parent, f"{slug(cfg.plain())}-*")
        for old in filterfalse(is_finished, older):
            print(f"left as it is: {other_version(old)}", file=sys.stderr)
        say([f"{stage_title(cfg.plain(), cfg.stage)} run in {directory}", *needs(judged.fits)])
        limit_threads(cfg.trainer.threads)
        if code := run_composed(
            hydra,
            composed,
            lambda _: execute(cfg, directory=directory, log=directory / "log.txt", loaded=loaded),
        ):
            return int(code)
    print_summary(read_json(directory / "summary.json"), directory)
    return 0
