"""rlhf list [runs|sweeps|artifacts|PATH ...]: what there is: state, reward, KL, disk and age

Of outputs/ and sweeps/, or of the folders that are named."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rlhf.commands.parts.parser import Parser
from rlhf.rundir.status import State

if TYPE_CHECKING:
    from rlhf.inventory import Inventory

KINDS = ("runs", "sweeps", "artifacts")
STATES = (*get_args(State), "damaged", "resumable")
SORTS = ("age", "disk", "reward", "kl", "name")
DESCRIPTION = """
What there is under outputs/ and sweeps/, or in the folders that are named: single runs, sweeps and
the artifacts of stages. Of a run its state, the last gold reward (else proxy), the KL to SFT in
nats per response, the bytes on its disk, and the time since its last word. A file with several
names (hard links: a run's policy is its artifact's) counts once in a total."""
EXAMPLES = {
    "rlhf list": "everything, the newest first",
    "rlhf list runs --sort kl": "runs by their distance from SFT",
    "rlhf list artifacts --sort disk": "what takes the most of the disk",
    "rlhf list sweeps/quickstart --json": "one sweep's runs, for a program",
}
EXIT_CODES = {0: "done, be it that there is nothing", 2: "the arguments are wrong"}
MORE = """
The states are those of `rlhf compare --status`. `damaged`: a file is gone, cut short or cannot be
read; `rlhf show` names it. `resumable`: not finished, nobody at work, and the same command goes on
from a checkpoint."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "list", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES, more=MORE
    )
    option = parser.add_argument
    option(
        "what",
        nargs="*",
        metavar="runs|sweeps|artifacts|PATH",
        help="one kind alone (runs: the jobs of sweeps, too); a sweep, or another folder",
    )
    option(
        "--sort",
        choices=SORTS,
        default="age",
        help="newest, largest, highest reward, lowest KL, or name first (default: age)",
    )
    option("--reverse", action="store_true", help="the other way round")
    option("--state", choices=STATES, metavar="STATE", help=f"only these: {', '.join(STATES)}")
    option("--study", metavar="NAME", help="only runs of this study, and what they stand on")
    option("--json", action="store_true", help="for a program: bytes, seconds, ISO times")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 2 the arguments are wrong."""
    args = _parser().parse_args(argv)
    kinds = [kind for kind in KINDS if kind in args.what]
    paths = [Path(word) for word in args.what if word not in KINDS]
    if gone := next((path for path in paths if not path.is_dir()), None):
        return _refuse(_lost(gone))
    if kinds == ["artifacts"] and args.state not in (None, "damaged", "finished"):
        return _refuse(
            f"--state {args.state}: an artifact is finished or damaged; runs and sweeps have states"
        )
    from rlhf.inventory import take_inventory
    from rlhf.inventory.walk import OUTPUTS, SWEEPS

    # who needs an artifact may lie elsewhere
    among = [OUTPUTS, SWEEPS] if args.json or not kinds or "artifacts" in kinds else []
    inventory = take_inventory(*paths, among=among if paths else ())
    sections = _sections(inventory, kinds, args)
    if args.json:
        return _print_json(sections)
    return _print(inventory, sections, args, overview=not kinds and not _sweep_alone(inventory))


def _sections(
    inventory: Inventory, kinds: Sequence[str], args: argparse.Namespace
) -> dict[str, list[Any]]:
    """What is to be shown, by kind, in order."""
    from rlhf.commands.parts.listed.rows import SORTS as ORDERS

    every: dict[str, list[Any]] = {
        "sweeps": list(inventory.sweeps),
        "runs": list(inventory.every_run()),
        "artifacts": [*inventory.artifacts, *inventory.leftovers],
    }
    keeps = _keeps(args)
    asked = kinds or [k for k in every if k == "runs" or not _sweep_alone(inventory)]
    return {
        kind: sorted(
            filter(keeps, every[kind]),
            key=ORDERS[args.sort],
            reverse=args.reverse,
        )
        for kind in every
        if kind in asked
    }


def _sweep_alone(inventory: Inventory) -> bool:
    """Whether sweeps were named, so that their jobs are shown."""
    return bool(inventory.sweeps) and all(s.directory in inventory.roots for s in inventory.sweeps)


def _keeps(args: argparse.Namespace) -> Callable[[Any], bool]:
    from rlhf.commands.parts.listed.rows import state_of
    from rlhf.inventory import ArtifactEntry, RunEntry, SweepEntry
    from rlhf.rundir.read import read_json

    @cache
    def study_of(run: Path) -> str:
        return str(read_json(run / "manifest.json").get("study", ""))

    def in_state(entry: Any) -> bool:
        if isinstance(entry, SweepEntry):
            return any(map(in_state, entry.jobs)) or (
                args.state == "damaged" and bool(entry.damage)
            )
        if args.state == "resumable":
            return isinstance(entry, RunEntry) and entry.is_resumable
        return bool(state_of(entry) == args.state)

    def in_study(entry: Any) -> bool:
        if isinstance(entry, (RunEntry, SweepEntry)):
            return bool(entry.study == args.study)
        return isinstance(entry, ArtifactEntry) and args.study in map(study_of, entry.used_by)

    return lambda entry: (
        (args.state is None or in_state(entry)) and (args.study is None or in_study(entry))
    )


def _print(
    inventory: Inventory,
    sections: dict[str, list[Any]],
    args: argparse.Namespace,
    *,
    overview: bool,
) -> int:
    from rlhf.commands.parts.listed.screen import nothing, show, show_overview
    from rlhf.commands.parts.listed.tables import console

    if not any(sections.values()):
        print("\n".join(nothing(inventory, sections, state=args.state, study=args.study)))
    elif overview:
        show_overview(console(), sections, inventory)
    else:
        show(console(), sections)
    return 0


def _print_json(sections: dict[str, list[Any]]) -> int:
    from rlhf.commands.parts.listed import as_json
    from rlhf.commands.parts.listed.screen import bytes_of

    write: dict[str, Callable[[Any], dict[str, Any]]] = {
        "runs": as_json.of_run,
        "sweeps": as_json.of_sweep,
        "artifacts": as_json.of_artifact,
    }
    shown: dict[str, Any] = {kind: list(map(write[kind], sections[kind])) for kind in sections}
    value = {**shown, "bytes": bytes_of(sections)}
    print(json.dumps(value, indent=2, allow_nan=False))
    return 0


def _lost(path: Path) -> str:
    """Why there is nothing at a path, with what was meant."""
    from rlhf.commands.parts.named import folder_meant
    from rlhf.config.messages import nearest

    kinds = ", ".join(KINDS)
    if path.exists():
        return f"{path} is a file: expected a folder, or {kinds}"
    kind = nearest(str(path), KINDS)
    hint = f"; did you mean {kind}?" if kind else folder_meant(str(path))
    return f"{path} is no folder, and none of {kinds}{hint}"


def _refuse(reason: str) -> int:
    print(f"rlhf list: {reason}", file=sys.stderr)
    return 2
