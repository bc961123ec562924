"""rlhf clean [PATH]: disk back: checkpoints, artifacts and left-overs that nobody needs

Shows what would go, and asks before anything does."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.commands.parts.parser import Parser
from rlhf.rundir.words import seconds_of

if TYPE_CHECKING:
    from rlhf.clean.things import Thing, Wish

DESCRIPTION = """
Gives disk back. What can go: the checkpoints of finished runs; artifacts of stages that no run
needs; what processes that are gone left half-made. Never what is needed by a run that is at work,
by one that can go on, or to compare, reproduce, sample, export, realign or select what is finished.
Shows what would go, why, and the bytes, and asks; without a terminal only --yes removes."""
EXAMPLES = {
    "rlhf clean --dry-run": "what would go, and why",
    "rlhf clean --checkpoints --older-than 7d": "checkpoints of runs that finished a week ago",
    "rlhf clean sweeps/quickstart --yes": "one sweep, without a question",
}
EXIT_CODES = {
    0: "done, or nothing to do",
    1: "something could not be removed",
    2: "the arguments are wrong, or there is nobody to ask",
}
MORE = """
Runs are looked for in outputs/ and sweeps/ (or where paths.outputs=... and paths.sweeps=... say),
and where artifacts and MLflow's store say that they were. Runs in any other place that stand on an
artifact of here are seen with --also only."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "clean", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES, more=MORE
    )
    option = parser.add_argument
    option(
        "words",
        nargs="*",
        metavar="PATH or setting",
        help="clean this alone: a run, a sweep, a store; or settings such as paths.outputs=/data/o",
    )
    option("--checkpoints", action="store_true", help="only checkpoints of finished runs")
    option("--artifacts", action="store_true", help="only artifacts that no run needs")
    option("--work", action="store_true", help="only what processes that are gone left half-made")
    option("--older-than", metavar="7d", help="only what was last used so long ago: 12h, 7d")
    option(
        "--also",
        action="append",
        default=[],
        metavar="DIR",
        help="runs in this folder need artifacts, too; nothing in it goes (can be repeated)",
    )
    option("--dry-run", action="store_true", help="only show what would go")
    option("--yes", action="store_true", help="remove without asking")
    option("--json", action="store_true", help="for a program: bytes and paths; asks nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 1 something could not be removed; 2 the arguments are wrong, or there is
    nobody to ask."""
    args = _parser().parse_args(argv)
    try:
        sight, wish = _wished(args)
    except ValueError as error:
        print(f"rlhf clean: {error}", file=sys.stderr)
        return 2
    from rlhf.clean.survey import survey
    from rlhf.commands.parts.cleaned import report, screen

    inventory, things = survey(sight, wish)
    if args.json:
        left = _remove(things, sight, wish) if args.yes and not args.dry_run else None
        print(json.dumps(report(inventory, things, left), indent=2))
        return int(any((left or {}).values()))
    screen(inventory, things)
    if args.dry_run or not any(thing.goes for thing in things):
        return 0
    if not args.yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            print(
                "rlhf clean: nothing was removed, as there is no terminal to ask on: --yes removes"
                " without asking, --dry-run only shows",
                file=sys.stderr,
            )
            return 2
        if input("Remove these? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was removed")
            return 0
    return _print_end(things, _remove(things, sight, wish))


def _wished(args: argparse.Namespace) -> tuple[list[Path], Wish]:
    """The folders that are looked at, and what of them is wished to go.

    Raises:
        ValueError: an argument is wrong.
    """
    from rlhf.clean.things import KINDS, Wish

    settings = [word for word in args.words if "=" in word]
    paths = [Path(word) for word in args.words if "=" not in word]
    also = list(map(Path, args.also))
    if gone := next((path for path in (*paths, *also) if not path.is_dir()), None):
        raise ValueError(_no_folder(gone))
    try:
        age = seconds_of(args.older_than)
    except ValueError as error:
        raise ValueError(f"--older-than: {error}") from None
    roots = _roots(settings)
    return [*roots, *paths, *also], Wish(
        roots=paths or roots,
        kinds=tuple(kind for kind in KINDS if getattr(args, kind)) or KINDS,
        before=None if age is None else time.time() - age,
    )


def _no_folder(path: Path) -> str:
    from rlhf.commands.parts.named import folder_meant

    kind = "a file" if path.exists() else "no folder"
    hint = folder_meant(str(path))
    return f"{path} is {kind}: name the folder of a run or a sweep, or one that holds such{hint}"


def _roots(settings: Sequence[str]) -> list[Path]:
    """Where runs, sweeps and artifacts lie by the config; as it comes where nothing is set."""
    from rlhf.inventory.walk import OUTPUTS, SWEEPS

    if not settings:
        return [OUTPUTS, SWEEPS]
    from rlhf.config.compose import compose, validate

    paths = validate(compose(settings)).paths
    return list(map(Path, dict.fromkeys([paths.outputs, paths.sweeps, paths.artifacts])))


def _remove(things: Sequence[Thing], sight: Sequence[Path], wish: Wish) -> dict[str, str]:
    """What became of each that was to go: why it is still there, empty where it is gone."""
    from rlhf.clean.remove import remove
    from rlhf.clean.survey import survey

    outcomes = remove(things, lambda: survey(sight, wish)[1])
    return {str(outcome.thing.path): outcome.left for outcome in outcomes}


def _print_end(things: Sequence[Thing], left: dict[str, str]) -> int:
    from rlhf.inventory import freed
    from rlhf.rundir.disk.space import amount

    gone = [thing.disk for thing in things if left.get(str(thing.path)) == ""]
    for path, why in left.items():
        if why:
            print(f"left: {path}: {why}", file=sys.stderr)
    print(f"{len(gone)} removed, {amount(freed(gone))} free again")
    return int(any(left.values()))
