"""The command: see the package's docstring."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import benchmarks.memory
from benchmarks.memory.estimated import SHAPES, measure, show_measured
from benchmarks.memory.fits import fits, show_fits
from benchmarks.memory.roles import four_roles, show_roles
from benchmarks.memory.shared import load, shared, show_shared
from benchmarks.memory.stage import ADAPTERS, STAGES, cell
from benchmarks.memory.tables import machine

COMMANDS = {
    "measure": (measure, show_measured),
    "smollm2": (four_roles, show_roles),
    "fits": (fits, show_fits),
    "shared": (shared, show_shared),
}


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=benchmarks.memory.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--json", type=Path, help="writes the rows there, too")
    commands = whole.add_subparsers(dest="command", required=True)
    one = commands.add_parser("cell", help=argparse.SUPPRESS)
    one.add_argument("stage")
    one.add_argument("words", nargs="*")
    every = commands.add_parser("measure")
    every.add_argument("--shapes", nargs="*", choices=SHAPES, default=[])
    every.add_argument("--stages", nargs="*", choices=STAGES, default=STAGES)
    every.add_argument("--adapters", nargs="*", choices=ADAPTERS, default=["none"])
    every.add_argument("--smollm2", type=Path, help="the model's folder")
    every.add_argument("--trainer", default="cpu")
    roles = commands.add_parser("smollm2")
    roles.add_argument("--roles", default="full,lora")
    roles.add_argument("--iterations", type=int, default=20)
    roles.add_argument("--folder", type=Path, default=Path("outputs/models/smollm2"))
    computed = commands.add_parser("fits")
    for name in ("shared", "load"):
        commands.add_parser(name).add_argument("folder")
    for command in (every, roles, computed):
        command.add_argument("overrides", nargs="*", help="added to each command")
    return whole


def main() -> None:
    args = parser().parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if args.command == "cell":
        print(json.dumps(cell(args.stage, args.words)))
        return
    if args.command == "load":
        load(args.folder)
        return
    make, show = COMMANDS[args.command]
    rows: list[dict[str, Any]] = []
    where = machine(getattr(args, "trainer", "cpu"))
    print(f"{where}\n", flush=True)
    with TemporaryDirectory() as work:
        show(row for row in make(args, Path(work)) if rows.append(row) is None)
    if args.json:
        args.json.write_text(json.dumps({"machine": where, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
