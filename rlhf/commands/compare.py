"""rlhf-compare sweeps/<name>, or several directories, or what MLflow knows"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from rlhf.compare.read.runs import COMPARISONS, gather, home, is_run
from rlhf.compare.result import NothingToCompare
from rlhf.compare.terminal import wide_console
from rlhf.rundir.redact import redact_text
from rlhf.tracking.store import default_uri


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 1 no run has finished, so that there is nothing to compare yet; 2 no
    sweep there, or no answer of MLflow."""
    parser = argparse.ArgumentParser(
        prog="rlhf-compare",
        description=(
            "Compare the runs of a sweep: writes report.html, report.md, pictures and tables into"
            " its directory and prints the table. Of several sweeps or runs together: into --into,"
            f" by default a folder under {COMPARISONS}."
        ),
    )
    parser.add_argument(
        "places",
        type=Path,
        nargs="*",
        metavar="sweep",
        help="a sweep's directory, such as sweeps/quickstart; or several",
    )
    parser.add_argument(
        "--mlflow",
        nargs="+",
        default=[],
        metavar="NAME",
        help="also an MLflow experiment's runs, or runs by their id",
    )
    store = default_uri()
    shown = redact_text(store).replace("%", "%%")
    parser.add_argument(
        "--tracking-uri", metavar="URI", default=store, help=f"where MLflow is (default: {shown})"
    )
    parser.add_argument("--into", type=Path, help="a folder for the results")
    parser.add_argument("--no-tracking", action="store_true", help="leave MLflow alone")
    parser.add_argument(
        "--status",
        action="store_true",
        help="only say how each job stands, now or at the end; writes nothing",
    )
    args = parser.parse_args(argv)
    together = len(args.places) > 1 or bool(args.mlflow) or args.into is not None
    if not args.places and not args.mlflow:
        parser.error("name a sweep's directory, or an experiment with --mlflow")
    fault = next(
        (said for place in args.places if (said := _fault(place, alone=not together)) is not None),
        None,
    )
    if fault is not None:
        print(f"rlhf-compare: {fault}", file=sys.stderr)
        return 2
    if args.status:
        from rlhf.sweeps.screen.table import print_state

        for place in args.places:
            print_state(wide_console(), place)
        return 0

    from rlhf.compare.comparison import compare

    try:
        if together:
            runs = gather([*args.places, *_tracked(args.tracking_uri, args.mlflow)])
            made = compare(args.into or home(runs), runs=runs, console=wide_console(), track=False)
        else:
            made = compare(args.places[0], console=wide_console(), track=not args.no_tracking)
    except (NothingToCompare, LookupError) as error:
        print(f"rlhf-compare: {error}", file=sys.stderr)
        return 2
    return 0 if made.settings else 1


def _tracked(uri: str, wanted: Sequence[str]) -> list[Path]:
    if not wanted:
        return []
    from rlhf.tracking.lookup import directories

    return directories(uri, wanted)


def _fault(path: Path, *, alone: bool) -> str | None:
    """Why `path` cannot be compared, with what is near it. `alone`: it must be a sweep, not a
    run."""
    if not path.is_dir():
        near = _near(path)
        there = (
            f" Did you mean {' or '.join(map(str, near))}?"
            if near
            else f" There is no sweep in {path.parent}."
        )
        return f"{path} is no directory.{there}"
    if alone and is_run(path):
        return (
            f"{path} is a single run; a comparison takes a sweep's directory, which holds a"
            " directory for each job, or several runs."
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


if __name__ == "__main__":
    sys.exit(main())
