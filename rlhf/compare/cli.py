"""rlhf-compare sweeps/<name>"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from rlhf.compare.load import MARKS
from rlhf.compare.screen import wide_console


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 1 no run has finished, so that there is nothing to compare yet; 2 the path is no sweep."""
    parser = argparse.ArgumentParser(
        prog="rlhf-compare",
        description="Compare the runs of a sweep: writes frontier.png, runs.csv and report.md into its directory and prints the table.",
    )
    parser.add_argument("sweep", type=Path, help="the sweep's directory, such as sweeps/quickstart")
    parser.add_argument("--no-tracking", action="store_true", help="leave MLflow alone")
    args = parser.parse_args(argv)
    fault = _fault(args.sweep)
    if fault is not None:
        print(f"rlhf-compare: {fault}", file=sys.stderr)
        return 2

    from rlhf.compare.comparison import NothingToCompare, compare

    try:
        made = compare(args.sweep, console=wide_console(), track=not args.no_tracking)
    except NothingToCompare as error:
        print(f"rlhf-compare: {error}", file=sys.stderr)
        return 2
    return 0 if made.settings else 1


def _fault(path: Path) -> str | None:
    """Why `path` cannot be a sweep, with what is near it."""
    if not path.is_dir():
        near = _near(path)
        there = f" Did you mean {' or '.join(map(str, near))}?" if near else f" There is no sweep in {path.parent}."
        return f"{path} is no directory.{there}"
    if any((path / mark).is_file() for mark in MARKS):
        return f"{path} is a single run; a comparison takes the directory of a sweep, which holds a directory for each job."
    return None


def _near(path: Path) -> list[Path]:
    """Up to three directories beside `path` or under sweeps/, the most similar names first."""
    places = dict.fromkeys(place for place in (path.parent, Path("sweeps")) if place.is_dir() and place != Path())
    there = [child for place in places for child in sorted(place.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    return sorted(there, key=lambda child: -difflib.SequenceMatcher(None, child.name, path.name).ratio())[:3]


if __name__ == "__main__":
    sys.exit(main())
