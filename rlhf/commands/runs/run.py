"""rlhf [run] key=value ...: a run, or the jobs of a sweep

Every config is checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf.commands.parts.parser import Parser
from rlhf.config.allow import add_option, allow

if TYPE_CHECKING:
    from omegaconf import DictConfig

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
        from rlhf.commands.parts.versions import say_version

        return say_version(as_json="--json" in arguments)
    from rlhf.commands.parts.launched.command import command
    from rlhf.commands.parts.shown import refuse, shown, warn
    from rlhf.config.composition.composer import REFUSALS, reason
    from rlhf.config.composition.hydra_internals import get_args_parser
    from rlhf.config.composition.session import session
    from rlhf.config.hints.several import spelled
    from rlhf.config.plugins.folders import conf_folders
    from rlhf.rundir.errors import RunFailed

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
            return command(hydra, args, faults, task)
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


def task(config: DictConfig) -> dict[str, Any]:
    """A job of a sweep, as launchers call it; returns its summary.

    Raises:
        JobFailed: the run failed.
        SystemExit: a signal stopped it.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from rlhf.config.validate import validate
    from rlhf.sweeps.multirun import job_task

    hydra_config = HydraConfig.get()
    with open_dict(config):  # only Hydra knows the YAML names of the user's own pieces
        config.hydra = {"runtime": hydra_config.runtime}
    return job_task(validate(config), hydra_config)
