"""rlhf help [subcommand]: this page, or what a subcommand takes"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rlhf import commands
from rlhf.commands.parts.parser import Parser

DESCRIPTION = "What a subcommand takes, with examples; without its name, all subcommands."
EXAMPLES = {"rlhf help": "all subcommands", "rlhf help compare": "one of them"}
EXIT_CODES = {0: "done", 2: "there is no such subcommand"}


def _parser() -> argparse.ArgumentParser:
    parser = Parser("help", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    parser.add_argument("name", nargs="?", metavar="subcommand", help="its name")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 2 no such subcommand."""
    parser = _parser()
    name = parser.parse_args(argv).name
    if name is None:
        from rlhf.commands.parts.overview import overview

        print(overview())
        return 0
    if name not in commands.names():
        from rlhf.commands.parts.overview import no_subcommand

        parser.error(no_subcommand(name))
    return int(commands.module(name).main(["--help"]))
