"""rlhf completion bash | zsh | fish: the script that completes commands and settings on TAB"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")
SCRIPTS = Path(__file__).parents[1] / "parts" / "completion" / "scripts"
DESCRIPTION = """
Prints a script for a shell, which then completes subcommands, their options, runs and sweeps,
groups and their options (kl/contr TAB), keys (ppo.iter TAB) and values that are few."""
EXAMPLES = {
    'eval "$(rlhf completion bash)"': "now, or in ~/.bashrc",
    'eval "$(rlhf completion zsh)"': "now, or in ~/.zshrc, after compinit",
    "rlhf completion fish | source": "now, or in ~/.config/fish/config.fish",
}
EXIT_CODES = {0: "done", 2: "no such shell"}


def _parser() -> argparse.ArgumentParser:
    from rlhf.commands.parts.parser import Parser

    codes = EXIT_CODES
    parser = Parser("completion", description=DESCRIPTION, examples=EXAMPLES, exit_codes=codes)
    parser.add_argument("shell", choices=SHELLS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done; 2 no such shell."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[1:2] == ["--line"]:
        return _offer(*words)
    name = _parser().parse_args(words).shell
    print((SCRIPTS / f"rlhf.{name}").read_text(encoding="utf-8"), end="")
    return 0


def _offer(shell: str, _: str, line: str = "", breaks: str = "") -> int:
    """What a script asks for on TAB: a candidate a line; for zsh and fish with a tab and what it
    is."""
    from rlhf.commands.parts.completion.engine import complete, split
    from rlhf.commands.parts.completion.quotes import for_bash

    word = split(line)[1]
    for text, description in complete(line):
        if shell == "bash":
            print(for_bash(text, line=line, word=word, breaks=breaks))
        else:
            print(f"{text}\t{description}")
    return 0
