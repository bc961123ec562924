"""The command `rlhf`: a subcommand, or without one a run from the settings that follow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rlhf import commands
from rlhf.rundir.disk.space import sentence as refusal
from rlhf.rundir.signals import end_by_the_clock, leave_at_once
from rlhf.rundir.streams import lost, on_screen, secure


def main(argv: Sequence[str] | None = None) -> int:
    """The subcommand's exit code; 2 if there is no such one."""
    words = list(sys.argv[1:] if argv is None else argv)
    if asked := _asked(words):
        return asked(words)
    settings = not words or "=" in words[0] or words[0].startswith(("-", "~"))
    name, *arguments = ["run", *words] if settings else words
    names = commands.names()
    if name in names:
        if asked := _asked(arguments, versions_alone=True):
            return asked(arguments)
        try:
            return int(commands.module(name).main(arguments))
        except OSError as error:
            if (refused := refusal(error)) is None:
                raise
            print(f"rlhf: {refused}", file=sys.stderr)
            return 1
    from rlhf.commands.parts.overview import no_subcommand

    refused = f"rlhf: {no_subcommand(name)}; a setting is written key=value"
    print(on_screen(refused, sys.stderr), file=sys.stderr)
    return 2


def _asked(
    words: Sequence[str], *, versions_alone: bool = False
) -> Callable[[Sequence[str]], int] | None:
    """What answers words that ask for help or for versions and for nothing else."""
    if "--version" in words and {*words} <= {"--version", "--json"}:
        return _version
    return _help if [*words] in (["--help"], ["-h"]) and not versions_alone else None


def _version(words: Sequence[str]) -> int:
    from rlhf.commands.parts.versions import say_version

    return say_version(as_json="--json" in words)


def _help(words: Sequence[str]) -> int:
    from rlhf.commands.parts.overview import overview

    print(overview())
    return 0


def process(*words: str) -> int:
    """The whole of a process that is a command: `main`, with signals and output that may vanish
    taken care of from the first moment on. `words` stand before the command line's."""
    secure()
    leave_at_once()
    try:
        code = main([*words, *sys.argv[1:]])
    except KeyboardInterrupt:
        print("rlhf: stopped by Ctrl-C", file=sys.stderr)
        code = 130
    if why := lost():
        print(f"rlhf: {why}", file=sys.stderr)
    code = code or int(bool(why))
    end_by_the_clock(code)
    return code


def compare() -> int:
    """The command `rlhf-compare`."""
    return process("compare")


def reproduce() -> int:
    """The command `rlhf-reproduce`."""
    return process("reproduce")


def ui() -> int:
    """The command `rlhf-ui`."""
    return process("ui")


if __name__ == "__main__":
    sys.exit(process())
