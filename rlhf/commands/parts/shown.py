"""What `--help`, `--cfg`, `--info` and shell completion show, and how a command is refused."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from hydra.types import RunMode, TaskFunction

from rlhf.config.composition.composer import REFUSALS, reason
from rlhf.config.composition.hydra_internals import register_plugin
from rlhf.config.composition.hydra_node import HydraNodeRefused, guard
from rlhf.config.composition.plan import Plan
from rlhf.config.composition.resolve import register_resolvers
from rlhf.config.composition.session import (
    CONFIG_NAME,
    VERSION_BASE,
    run_by_hydra,
    session,
)
from rlhf.config.plugins.folders import Folders, conf_folders
from rlhf.rundir.streams import on_screen


def refuse(faults: Sequence[str]) -> int:
    uncounted = re.fullmatch(r"and (\d+) more", faults[-1])  # the end of many rows
    number = len(faults) + (int(uncounted[1]) - 1 if uncounted else 0)
    count = "One thing is" if number == 1 else f"{number} things are"
    say([f"{count} wrong with this command:", *(f"  {fault}" for fault in faults)])
    return 2


def say(lines: Sequence[str]) -> None:
    """Lines to stderr, which a run's own output follows."""
    text = on_screen("".join(f"{line}\n" for line in lines), sys.stderr)
    print(text, end="", file=sys.stderr, flush=True)


def warn(folders: Folders) -> None:
    """Says on stderr which plugins are left out, and why."""
    say([f"warning: {warning}" for warning in folders.warnings])


def shown(arguments: Sequence[str], args: argparse.Namespace, task: TaskFunction) -> int:
    """--help, --cfg, --info, --hydra-help and shell completion are Hydra's own. What it builds for
    them (its logging) is judged first, as that of a run is."""
    import hydra

    from rlhf.sweeps.launchers.local import LocalLauncher

    try:
        with session(args.config_dir) as own:
            guard(own.compose_config(CONFIG_NAME, args.overrides, RunMode.RUN), args.overrides)
    except FileNotFoundError as error:
        return refuse([reason(error)])
    except HydraNodeRefused as error:
        return refuse(error.faults)
    except REFUSALS as error:
        if not args.shell_completion:  # whose words are no settings
            return refuse([reason(error)])
    register_resolvers()
    register_plugin(LocalLauncher, "hydra_plugins.rlhf.LocalLauncher")
    folders = conf_folders(args.config_dir)
    if not args.shell_completion:
        warn(folders)
    sys.argv = [sys.argv[0], *arguments]
    options = {"config_path": str(folders.ours), "config_name": CONFIG_NAME}
    run_by_hydra(hydra.main(version_base=VERSION_BASE, **options)(task), folders)
    return 0


def first_job(planned: Plan, args: argparse.Namespace, task: TaskFunction) -> int:
    """--cfg and --info of a sweep: those of its first job."""
    words = planned.jobs[0].overrides
    print(f"# job 1 of {len(planned.jobs)}: {' '.join(words)}", flush=True)
    own = [word for word in args.overrides if word.lstrip("+~").startswith("hydra")]
    args.overrides = [*words, *own, "hydra.mode=RUN"]
    given = {
        "--cfg": args.cfg,
        "--info": args.info,
        "--package": args.package,
        "--config-dir": args.config_dir,
    }
    flags = [word for flag, value in given.items() if value is not None for word in (flag, value)]
    return shown([*args.overrides, *flags, *(["--resolve"] if args.resolve else [])], args, task)
