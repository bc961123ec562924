"""rlhf [run] key=value ...: a run, or the jobs of a sweep

Every config is checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

from omegaconf import open_dict

from rlhf.commands.parts.ended import print_summary
from rlhf.commands.parts.judged import Judged, judge, needs
from rlhf.commands.parts.parser import Parser
from rlhf.commands.parts.shown import first_job, refuse, say, shown, warn
from rlhf.commands.parts.versions import say_version
from rlhf.config.allow import add_option, allow
from rlhf.config.composition.composer import REFUSALS, reason
from rlhf.config.composition.hydra_internals import get_args_parser, run_composed
from rlhf.config.composition.plan import Plan, plan
from rlhf.config.composition.session import session
from rlhf.config.hints.several import spelled
from rlhf.config.naming import older_runs, other_version, run_hash, slug, stage_title
from rlhf.config.plugins.folders import conf_folders
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.noted import is_complete
from rlhf.rundir.read import read_json
from rlhf.rundir.status import is_finished
from rlhf.runs.execute import directory_of, execute, leading
from rlhf.runs.machine.cluster import queue_again, several, started
from rlhf.runs.machine.entered import changes
from rlhf.sweeps.launchers.prepare import limit_threads

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rlhf.config.composition.hydra_internals import Hydra

ALLOW_FLAG = "--allow-targets"


DESCRIPTION = """
A run of these settings, or the jobs of a sweep: key=value sets a value, group=option chooses a
piece, +key=value adds one, ~group takes it away. `rlhf config` lists them all. The same command
again goes on where it was cut."""
EXAMPLES = {
    "rlhf kl.coef=0.1 seed=1": "one run",
    "rlhf -m kl.coef=0,0.02,0.1 seed=0,1": "a sweep: six jobs",
    "rlhf experiment=quickstart ppo.iterations=60": "an experiment file with another value",
    "rlhf model=hf model.path=DIR model/adapter=lora": "a pretrained model",
    "rlhf -m kl.coef=0,0.1 hydra.launcher.jobs=4": "four jobs at a time",
    "rlhf --help kl=grpo": "Hydra's page: the settings of a choice",
}
EXIT_CODES = {
    0: "done",
    1: "a run failed",
    2: "the config or the data is wrong",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM or a time limit, the state saved",
}


def _parser() -> argparse.ArgumentParser:
    """What the command takes, for its help. Hydra's own parser reads it."""
    parser = Parser("[run]", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    option = parser.add_argument
    option("settings", nargs="*", metavar="key=value", help="or group=option; `rlhf config`")
    option("-m", "--multirun", action="store_true", help="a sweep: every combination of values")
    option("--cfg", "-c", choices=("job", "hydra", "all"), help="print the config and stop there")
    option("--resolve", action="store_true", help="of --cfg: with interpolations filled in")
    option("--package", "-p", metavar="KEY", help="of --cfg: this part alone")
    option("--info", "-i", nargs="?", metavar="WHAT", help="what Hydra knows: defaults, plugins")
    option("--config-dir", "-cd", metavar="DIR", help="a folder with groups of your own")
    option("--hydra-help", action="store_true", help="Hydra's own options")
    add_option(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 done; 1 a run failed; 2 the config or the data is wrong; 130 and 143 stopped
    by a signal, the state saved."""
    arguments = _take_allowed(argv)
    if arguments in (["--help"], ["-h"]):
        _parser().print_help()
        return 0
    if "--version" in arguments:
        return say_version(as_json="--json" in arguments)
    args, unknown = get_args_parser().parse_known_args(arguments)
    # settings after an option
    settings = [*args.overrides, *(word for word in unknown if not word.startswith("-"))]
    args.overrides = spelled(settings)
    faults = [
        f"{word}: no such option; a setting is written without dashes, key=value"
        for word in unknown
        if word.startswith("-")
    ]
    if args.experimental_rerun or args.config_name or args.config_path:
        faults.append(
            "--experimental-rerun, --config-name and --config-path are not offered; --config-dir"
            " adds groups of your own"
        )
    shows = bool(args.cfg) or args.info is not None
    if args.help or args.hydra_help or args.shell_completion or (shows and not args.multirun):
        flags = [word for word in arguments if word not in settings]
        # Hydra takes settings in one place alone
        return refuse(faults) if faults else shown([*args.overrides, *flags], args, task)
    try:
        warn(conf_folders(args.config_dir))
        with session(args.config_dir) as hydra:
            return _command(hydra, args, faults)
    except (FileNotFoundError, *REFUSALS) as error:
        return refuse([reason(error)])
    except RunFailed as error:
        print(f"rlhf: {error}", file=sys.stderr)
        return 1


def _take_allowed(arguments: Sequence[str]) -> list[str]:
    """Takes `--allow-targets=PACKAGE` (or `--allow-targets PACKAGE`) out of the arguments; jobs
    get it by the environment."""
    rest, words = [], iter(arguments)
    for word in words:
        flag, mark, value = word.partition("=")
        if flag == ALLOW_FLAG:
            allow(value if mark else next(words, ""))
        else:
            rest.append(word)
    return rest


def _command(hydra: Hydra, args: argparse.Namespace, faults: Sequence[str]) -> int:
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
        return _planned(hydra, args, planned)
    limit_threads(cfg.trainer.threads)
    if place.rank:  # it says nothing, and writes nothing
        return execute(cfg, directory=directory_of(cfg))
    with leading(cfg) as led:
        led.code = _planned(hydra, args, planned)
    return led.code


def _planned(hydra: Hydra, args: argparse.Namespace, planned: Plan) -> int:
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
    from rlhf.compare import compare
    from rlhf.compare.terminal import wide_console
    from rlhf.sweeps.multirun import sweep

    try:
        code, directory = sweep(hydra, planned, args.overrides, task)
    except SystemExit as stopped:
        queue_again(again, stopped.code)
        raise
    try:
        compare(directory, console=wide_console())
    except Exception as error:  # does not change how the sweep ended
        print(f"the comparison failed: {error}\n  again: rlhf compare {directory}", file=sys.stderr)
    return code


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


def task(config: DictConfig) -> dict[str, Any]:
    """A job of a sweep, as launchers call it; returns its summary.

    Raises:
        JobFailed: the run failed.
        SystemExit: a signal stopped it.
    """
    from hydra.core.hydra_config import HydraConfig

    from rlhf.config.validate import validate
    from rlhf.sweeps.multirun import job_task

    hydra_config = HydraConfig.get()
    with open_dict(config):  # only Hydra knows the YAML names of the user's own pieces
        config.hydra = {"runtime": hydra_config.runtime}
    return job_task(validate(config), hydra_config)
