"""rlhf reproduce sweeps/quickstart: a sweep, a run or a stage again: is every number the same?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rlhf.commands.parts.parser import WORD, Parser
from rlhf.config.allow import add_option, allow
from rlhf.tracking.addresses import DEFAULT, default_uri

DESCRIPTION = """
Makes a run, a stage or a whole sweep again from the config it kept, in a new directory, and says of
every metric whether it is bitwise equal, or by how much it is off and from which iteration. Before
that: what differs in config, packages, code, machine and data."""
EXAMPLES = {
    "rlhf reproduce sweeps/quickstart/kl0.1-...": "a run",
    "rlhf reproduce sweeps/quickstart --jobs 2": "a sweep, two jobs at a time",
    "rlhf reproduce RUN --dry-run": "what would be done",
}
EXIT_CODES = {
    0: "bitwise equal",
    1: "something differs or a run failed",
    2: "the argument, the config or the data is wrong",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM; the same command goes on",
}
MORE = "MLflow is left alone."
TARGET = f"sweeps/<name>, or {WORD}"
REUSE = "take the SFT policy and the reward model as they are; by default they are trained again"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "reproduce", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES, more=MORE
    )
    option = parser.add_argument
    option("what", help=TARGET)
    option(
        "--into",
        type=Path,
        metavar="DIR",
        help="the new directory; by default outputs/reproduced/<name>-<n>",
    )
    option("--reuse-stages", action="store_true", help=REUSE)
    option(
        "--dry-run",
        action="store_true",
        help="say what would be done and what differs already, and stop there",
    )
    option("--all", action="store_true", dest="every", help="list every metric, the equal ones too")
    option(
        "--jobs",
        type=int,
        metavar="N",
        help="of a sweep: jobs at a time; by default one a core",
    )
    option(
        "--tracking-uri",
        metavar="URI",
        help=f"where to look a run id up; by default MLFLOW_TRACKING_URI or {DEFAULT}",
    )
    add_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 bitwise equal; 1 something differs or a run failed; 2 argument, config or
    data is wrong; 130, 143 stopped."""
    args = _parser().parse_args(argv)
    allow(*args.allow_targets)
    from rlhf.commands.parts.named import Ambiguous, place_of
    from rlhf.inventory import RunEntry, SweepEntry
    from rlhf.reproduce.session import reproduce
    from rlhf.reproduce.target import Refused, find
    from rlhf.rundir.errors import RunFailed

    try:
        if args.jobs is not None and args.jobs < 1:
            raise Refused(f"--jobs={args.jobs}: expected a whole number >= 1")
        place = place_of(args.what, RunEntry, SweepEntry)
        return reproduce(find(place, args.tracking_uri or default_uri()), args)
    except (Refused, Ambiguous, RunFailed) as error:
        print(f"rlhf reproduce: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunFailed) else 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
