"""The command `rlhf`: a subcommand, or without one a run from the settings that follow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from rlhf import commands
from rlhf.rundir.disk.space import sentence as refusal


def main(argv: Sequence[str] | None = None) -> int:
    """The subcommand's exit code; 2 if there is no such one."""
    words = list(sys.argv[1:] if argv is None else argv)
    settings = not words or "=" in words[0] or words[0].startswith(("-", "~"))
    name, *arguments = ["run", *words] if settings else words
    names = commands.names()
    if name in names:
        try:
            return int(import_module(f"rlhf.commands.{name}").main(arguments))
        except OSError as error:
            if (refused := refusal(error)) is None:
                raise
            print(f"rlhf: {refused}", file=sys.stderr)
            return 1
    from rlhf.config.messages import did_you_mean

    print(
        f"rlhf: {name} is no subcommand{did_you_mean(name, names)} ({', '.join(names)});"
        " a setting is written key=value",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
