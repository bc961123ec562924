"""rlhf config [group | option | key ...]: every setting with its range, default and comment

Groups and their options, keys with type, range, default, comment, and who reads them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf.commands.parts.parser import Parser

if TYPE_CHECKING:
    from rlhf.config.described.contents import Contents

DESCRIPTION = """
What can be set. Without words: every group with its options. A group: each option with its
comment, and its keys with type, range, default and comment. A key: its value in every option, and
who reads it: the code, the rules that judge it, the stages whose results it decides. The words may
be those of a command: each is explained."""
EXAMPLES = {
    "rlhf config": "all groups and settings",
    "rlhf config kl/controller": "the controllers of the KL coefficient",
    "rlhf config kl/controller=pid": "one of them",
    "rlhf config ppo.iterations": "one key",
    "rlhf config -m kl=grpo,ziegler seed=0,1": "the words of a command",
}
EXIT_CODES = {0: "done", 2: "there is no such group, option or key, or no such folder"}


def _parser() -> argparse.ArgumentParser:
    parser = Parser("config", description=DESCRIPTION, examples=EXAMPLES, exit_codes=EXIT_CODES)
    option = parser.add_argument
    option("words", nargs="*", metavar="group, option or key", help="as on the command line")
    option("--json", action="store_true", help="the same as JSON")
    option("-m", "--multirun", action="store_true", help="the words are those of a sweep")
    option("--config-dir", metavar="DIR", help="a folder with groups of your own")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 2 no such group, option or key, or no such folder."""
    args = _parser().parse_args(argv)
    from rlhf.config.described.contents import contents

    try:
        code = _said(args.words, contents(args.config_dir), as_json=args.json)
    except (FileNotFoundError, ValueError) as error:  # a folder or file of the user's own
        return _refuse([str(error)])
    if args.multirun and args.words and not code:
        print(f"\n{_sweep(args)}", file=sys.stderr)
    return code


def _sweep(args: argparse.Namespace) -> str:
    """What says more of a sweep than its words do."""
    own = [f"--config-dir={args.config_dir}"] if args.config_dir else []
    words = shlex.join([*own, "-m", *args.words])
    return (
        f"the jobs that these make: rlhf plan {words}\n"
        f"the whole config of the first: rlhf {words} --cfg job"
    )


def _said(words: Sequence[str], known: Contents, *, as_json: bool) -> int:
    from rlhf.commands.parts.described import render, table
    from rlhf.config.described.lookup import Unknown, look_up

    if not words:
        print(table.as_json(known) if as_json else table.text(known))
        return 0
    found, faults = [], []
    for word in words:
        try:
            found.append(look_up(word, known))
        except Unknown as error:
            faults.append(str(error))
    if faults:
        return _refuse(faults)
    print(render.as_json(found) if as_json else "\n\n".join(map(render.text, found)))
    return 0


def _refuse(faults: Sequence[str]) -> int:
    print("\n".join(f"rlhf config: {fault}" for fault in faults), file=sys.stderr)
    return 2
