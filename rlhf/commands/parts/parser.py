"""The command line of a subcommand: one look for all, and one manner of refusal."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, NoReturn

from rlhf.rundir.streams import on_screen

WIDTH = 100  # columns at most
# what `named.place_of` takes
WORD = """a folder: of a run, of a point of a sweep, outputs/artifacts/<stage>/<fingerprint>; or a
name, a hash, a fingerprint, or how one begins; or an MLflow run id"""


class Parser(argparse.ArgumentParser):
    """Help with description, examples and exit codes; a wrong command line ends with exit code 2
    and a sentence on stderr that names what was probably meant."""

    def __init__(
        self,
        name: str,
        *,
        description: str,
        examples: Mapping[str, str],
        exit_codes: Mapping[int, str],
        more: str = "",
    ) -> None:
        """
        Args:
            name: the subcommand's.
            examples: a command line, and what it does.
            exit_codes: what each says; 2 is the wrong command line's too.
            more: a paragraph after the examples.
        """
        super().__init__(
            prog=f"rlhf {name}",
            description=description,
            epilog=_epilog(examples, exit_codes, more),
            formatter_class=Formatter,
        )

    def error(self, message: str) -> NoReturn:
        refused = f"{self.prog}: {message}{self._meant(message)}"
        sys.stderr.write(f"{on_screen(refused, sys.stderr)}\n")
        sys.stderr.write(f"  {self.prog} --help lists what it takes\n")
        sys.exit(2)

    def _meant(self, message: str) -> str:
        wrong, _, words = message.partition(": ")
        if wrong != "unrecognized arguments" or not words.startswith("-"):
            return ""
        from rlhf.config.hints.nearest import did_you_mean

        return did_you_mean(words.split()[0].partition("=")[0], self._option_string_actions)


def parser(name: str, **words: Any) -> argparse.ArgumentParser:
    """The options of a command that is asked about another, as `rlhf plan` is.

    Args:
        words: of `Parser`.
    """
    from rlhf.config.allow import add_option

    made = Parser(name, **words)
    option = made.add_argument
    option("words", nargs="*", metavar="key=value", help="the settings of a run or a sweep")
    option("-m", "--multirun", action="store_true", help="the settings are a sweep's")
    option("--json", action="store_true", help="everything as JSON")
    option("--config-dir", metavar="DIR", help="groups of your own")
    add_option(made)
    return made


class Formatter(argparse.HelpFormatter):
    """Paragraphs are filled; lines that begin with two spaces stay as they are."""

    def __init__(self, prog: str) -> None:
        columns = min(WIDTH, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=26, width=columns)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(_filled(paragraph, width) for paragraph in paragraphs)


def _filled(paragraph: str, width: int) -> str:
    if paragraph.startswith("  "):
        return paragraph
    return textwrap.fill(" ".join(paragraph.split()), width)


def _epilog(examples: Mapping[str, str], exit_codes: Mapping[int, str], more: str) -> str:
    widest = max((len(line) for line in examples if len(line) <= 48), default=0)
    lines = []
    for line, what in examples.items():
        if len(line) <= widest:
            lines.append(f"  {line:<{widest}}  {what}")
        else:
            lines += [f"  {line}", f"  {'':<{widest}}  {what}"]
    codes = "; ".join(f"{code} {words}" for code, words in sorted(exit_codes.items()))
    parts = ["Examples:", "\n".join(lines), more.strip(), f"Exit codes: {codes}."]
    return "\n\n".join(part for part in parts if part)
