"""What came of each try, and the tables that say it."""

from __future__ import annotations

import os
import platform
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak.commands import Ended, end_of_trace
from benchmarks.soak.same import Difference

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
SHOWN = 12  # broken promises of a kind


@dataclass
class Try:
    kind: str
    index: int
    faults: list[str] = field(default_factory=list)  # what was done, in words
    places: list[str] = field(default_factory=list)  # how far the run was when a fault came
    broken: list[str] = field(default_factory=list)
    diverged: bool = False
    lost: int = 0
    doubled: int = 0
    tracebacks: int = 0
    strays: int = 0
    executed: int = 0
    leaked: int = 0
    refusals: list[float] = field(default_factory=list)  # seconds of each

    def breaks(self, sentence: str) -> None:
        self.broken.append(sentence)

    def saw(self, ended: Ended) -> None:
        """No command may show a traceback or hang, whatever befell it."""
        if ended.tracebacks:
            self.tracebacks += ended.tracebacks
            self.breaks(f"a traceback: {end_of_trace(ended.text)}")
        if "hangs: killed" in ended.text:
            self.breaks(f"hangs: {ended.last_words[-200:]}")

    def refused(
        self, ended: Ended, *names: str, codes: Sequence[int] = (1, 2), timed: bool = True
    ) -> None:
        """A refusal, or a failure, says what is wrong in a sentence that has one of the names in
        it. `timed`: it could have been known at the start."""
        self.refusals.append(ended.seconds if timed else 0.0)
        if ended.code not in codes:
            self.breaks(f"exit code {ended.code} where {codes} were right: {ended.last_words}")
        if not any(name in ended.text for name in names):
            self.breaks(f"refused without naming {' or '.join(names)}: {ended.last_words}")

    def differs(self, difference: Difference) -> None:
        self.lost += difference.lost
        self.doubled += difference.doubled
        self.strays += len(difference.strays)
        self.diverged = self.diverged or bool(difference.divergences)
        self.broken += difference.divergences
        self.broken += [f"stray file {name}" for name in difference.strays]


COLUMNS = (
    "kind",
    "tries",
    "faults",
    "divergences",
    "rows lost",
    "rows doubled",
    "tracebacks",
    "stray files",
    "executed",
    "secrets found",
    "refusals",
    "longest refusal (s)",
    "broken",
)


def row(kind: str, tries: Sequence[Try]) -> list[object]:
    refusals = [seconds for one in tries for seconds in one.refusals]
    return [
        kind,
        len(tries),
        sum(len(one.faults) for one in tries),
        sum(one.diverged for one in tries),
        sum(one.lost for one in tries),
        sum(one.doubled for one in tries),
        sum(one.tracebacks for one in tries),
        sum(one.strays for one in tries),
        sum(one.executed for one in tries),
        sum(one.leaked for one in tries),
        len(refusals),
        f"{max(refusals):.1f}" if refusals else "",
        sum(bool(one.broken) for one in tries),
    ]


def markdown(tries: Sequence[Try], skipped: dict[str, str], command: str, seconds: float) -> str:
    """The table of all kinds, where the kills and stops came, what was skipped, and what broke."""
    kinds = dict.fromkeys(one.kind for one in tries)
    lines = [
        f"`{command}`,",
        f"{_machine()}: {seconds / 60:.0f} min.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    for kind in kinds:
        cells = row(kind, [one for one in tries if one.kind == kind])
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    places = Counter(place for one in tries for place in one.places)
    if places:
        shown = ", ".join(f"{place} {count}" for place, count in places.most_common())
        lines += ["", _prose(f"How far the run was when a signal came: {shown}.")]
    lines += ["", *(_prose(f"Skipped: {kind}: {why}.") for kind, why in skipped.items())]
    lines += broken_lines(tries)
    return "\n".join(lines).rstrip() + "\n"


def broken_lines(tries: Iterable[Try]) -> list[str]:
    """Each broken promise with its try's name, the first of every kind."""
    wrong = [one for one in tries if one.broken]
    if not wrong:
        return ["", "No promise was broken."]
    lines = ["", "Broken promises:", ""]
    for kind in dict.fromkeys(one.kind for one in wrong):
        of_kind = [one for one in wrong if one.kind == kind]
        for one in of_kind[:SHOWN]:
            what = "; ".join(one.faults)
            why = "; ".join(dict.fromkeys(one.broken))
            lines.append(_prose(f"- `{kind}:{one.index}` ({what}): {why[:600]}", "  "))
        if len(of_kind) > SHOWN:
            lines.append(f"- and {len(of_kind) - SHOWN} more of {kind}")
    return lines


def _prose(text: str, indent: str = "") -> str:
    """In lines of the width of the docs (tests/test_docs.py)."""
    return textwrap.fill(
        text,
        width=100,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _machine() -> str:
    import torch

    import rlhf

    return (
        f"rlhf {rlhf.__version__}, Python {platform.python_version()}, torch {torch.__version__},"
        f" {os.cpu_count()} cores"
    )


def put_into(page: Path, text: str) -> None:
    """Writes the table between the page's two marks, or a page of the table alone."""
    if not page.exists():
        page.write_text(text)
        return
    check_page(page)
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def check_page(page: Path) -> None:
    """Ends the command, with a sentence, where a page that is there has no place for the table."""
    if page.exists() and END not in page.read_text().partition(BEGIN)[2]:
        raise SystemExit(f"{page} has no {BEGIN} ... {END}")
