"""rlhf compare sweeps/quickstart: the comparison of a sweep again; --status: how its jobs stand"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from rlhf.commands.parts.parser import Parser
from rlhf.compare import COMPARISONS
from rlhf.rundir.paths.points import points_of
from rlhf.rundir.secrets.redact import redact_text
from rlhf.tracking.addresses import default_uri

DESCRIPTION = f"""
Compare the runs of a sweep: writes report.html, report.md, pictures and tables into its directory
and prints the table. Of several sweeps or runs together, or of a path's points: into --into, by
default a folder under {COMPARISONS}."""
EXAMPLES = {
    "rlhf compare sweeps/quickstart": "report, pictures and tables of a sweep",
    "rlhf compare sweeps/a sweeps/b --into both": "of two together",
    "rlhf compare sweeps/quickstart --status": "how its jobs stand, now",
}
EXIT_CODES = {
    0: "done",
    1: "no run has finished, so that there is nothing to compare yet",
    2: "no sweep is there, or MLflow does not answer",
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser("compare", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    option = parser.add_argument
    option(
        "places",
        type=Path,
        nargs="*",
        metavar="sweep",
        help="a sweep, by its folder, such as sweeps/quickstart, its name or how that begins; or"
        " several",
    )
    option(
        "--mlflow",
        nargs="+",
        default=[],
        metavar="NAME",
        help="also an MLflow experiment's runs, or runs by their id",
    )
    store = default_uri()
    option(
        "--tracking-uri",
        metavar="URI",
        default=store,
        help=f"where MLflow is (default: {redact_text(store).replace('%', '%%')})",
    )
    option("--into", type=Path, help="a folder for the results")
    option("--no-tracking", action="store_true", help="leave MLflow alone")
    option(
        "--adopt",
        action="store_true",
        help="a directory that came from elsewhere, or was made by an older version, takes the runs"
        " in MLflow that it names for its own; without it they are left alone",
    )
    option(
        "--status",
        action="store_true",
        help="only say how each job stands, now or at the end; writes nothing (for a program:"
        " rlhf list SWEEP --json)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 1 no run has finished, so that there is nothing to compare yet; 2 no
    sweep there, or no answer of MLflow."""
    parser = _parser()
    args = parser.parse_args(argv)
    from rlhf.commands.parts.named import Ambiguous, sweeps_of

    try:
        args.places = sweeps_of(args.places)
    except Ambiguous as error:
        return _refuse(error)
    together = len(args.places) > 1 or bool(args.mlflow) or args.into is not None
    together = together or any(map(points_of, args.places))
    if not args.places and not args.mlflow:
        parser.error("name a sweep's directory, or an experiment with --mlflow")
    faults = (_fault(place, alone=not together) for place in args.places)
    if fault := next(filter(None, faults), None):
        return _refuse(fault)
    if args.status:
        from rlhf.compare.terminal import wide_console
        from rlhf.sweeps.screen.table import print_state

        for place in args.places:
            print_state(wide_console(), place)
        return 0

    return _compared(args, together=together)


def _compared(args: argparse.Namespace, *, together: bool) -> int:
    from rlhf.compare.comparison import compare
    from rlhf.compare.read.runs import gather, home, is_run
    from rlhf.compare.result import NothingToCompare
    from rlhf.compare.terminal import wide_console
    from rlhf.tracking.lookup import directories
    from rlhf.tracking.state import adopt

    try:
        if together:
            tracked = directories(args.tracking_uri, args.mlflow) if args.mlflow else []
            runs = gather([*args.places, *tracked])
            comparison = compare(
                args.into or home(runs), runs=runs, console=wide_console(), track=False
            )
        else:
            if args.adopt:
                for place in (args.places[0], *filter(is_run, args.places[0].iterdir())):
                    adopt(place)
            comparison = compare(args.places[0], console=wide_console(), track=not args.no_tracking)
    except (NothingToCompare, LookupError) as error:
        return _refuse(error)
    return 0 if comparison.settings else 1


def _refuse(reason: object) -> int:
    print(f"rlhf compare: {reason}", file=sys.stderr)
    return 2


def _fault(path: Path, *, alone: bool) -> str | None:
    """The reason why `path` cannot be compared, with what is near it. `alone`: it must be a sweep,
    not a run."""
    if not path.is_dir():
        near = _near(path)
        there = (
            f" Did you mean {' or '.join(map(str, near))}?"
            if near
            else f" There is no sweep in {path.parent}."
        )
        return f"{path} is no directory.{there}"
    from rlhf.compare.read.runs import is_run

    if alone and is_run(path):
        return (
            f"{path} is a single run; a comparison takes a sweep's directory, which holds a"
            " directory for each job, a path with its points, or several runs."
        )
    return None


def _near(path: Path) -> list[Path]:
    """Up to three directories beside `path` or under sweeps/, the most similar names first."""
    places = dict.fromkeys(
        place for place in (path.parent, Path("sweeps")) if place.is_dir() and place != Path()
    )
    there = [
        child
        for place in places
        for child in sorted(place.iterdir())
        if child.is_dir() and not child.name.startswith(".")
    ]
    return sorted(
        there, key=lambda child: -difflib.SequenceMatcher(None, child.name, path.name).ratio()
    )[:3]
