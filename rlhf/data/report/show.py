"""A report as tables, which the screen and markdown only draw, and as the few lines of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlhf.data.report.values import Accuracy, Limited, Part, Report, Spread


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column is the row's name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(report: Report) -> list[Table]:
    """All of the report."""
    return [
        _parts(report.parts),
        _odd(report.parts),
        _limits(report.limits),
        *_pairs(report),
        _sides(report),
    ]


def markdown(report: Report, refusals: Sequence[str] = ()) -> str:
    blocks = [
        f"# Data: {report.data}",
        f"Template: {report.template}.",
        *map(_drawn, tables(report)),
    ]
    blocks += [f"- A run is refused. {sentence}." for sentence in refusals]
    return "\n\n".join(blocks) + "\n"


def _drawn(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = ["---", *("---:" for _ in table.columns[1:])]
    rows = [line(row) for row in table.rows]
    return "\n".join([f"## {table.title}", "", line(table.columns), line(rule), *rows])


def short(report: Report) -> list[str]:
    """The lines that a run begins with."""
    lines = [f"data: {_brief(part)}" for part in report.parts]
    losses = [
        f"{limited.stage} {limited.share:.1%} of {limited.bound}" for limited in report.limits
    ]
    if losses:
        lines.append(f"data: cut, shortened or left out: {'; '.join(losses)}")
    facts = [f"{report.leaks} prompts on both sides of the split"]
    if report.pairs is not None:
        longer = f"{report.pairs.chosen_longer:.0%}"
        facts.append(f"by the data's labels the chosen answer is the longer one in {longer}")
    if odd := sum(part.not_alternating for part in report.parts):
        facts.append(f"{odd:,} conversations do not alternate")
    return [*lines, f"data: {', '.join(facts)}"]


def _brief(part: Part) -> str:
    tokens, twice = part.tokens, part.duplicates_but_for_spaces
    length = (
        f", {tokens.median} tokens (95 % up to {tokens.p95}, most {tokens.most})" if tokens else ""
    )
    same = f", {twice:,} twice" if twice else ""
    return f"{part.rows:,} {part.name} and {part.heldout:,} held out{length}{same}"


def _parts(parts: Sequence[Part]) -> Table:
    return Table(
        "Rows",
        (
            "part",
            "to train on",
            "held out",
            "turns (min / median / max)",
            "tokens (median / 95 % / max)",
            "of the prompt",
            "counted of",
        ),
        tuple(
            (
                part.name,
                f"{part.rows:,}",
                f"{part.heldout:,}",
                _range(part.turns),
                _lengths(part.tokens),
                _lengths(part.prompt_tokens),
                _counted(part),
            )
            for part in parts
        ),
    )


def _counted(part: Part) -> str:
    if part.tokens is None:
        return "-"
    return "all" if part.measured == part.all else f"{part.measured:,}, evenly spaced"


def _odd(parts: Sequence[Part]) -> Table:
    columns = ("part", "duplicates", "but for spaces", "do not alternate", "the first")
    return Table(
        "Rows that are there twice, conversations that do not alternate",
        columns,
        tuple(
            (
                part.name,
                f"{part.duplicates:,}",
                f"{part.duplicates_but_for_spaces:,}",
                f"{part.not_alternating:,}",
                part.first_odd or "-",
            )
            for part in parts
        ),
    )


def _limits(limits: Sequence[Limited]) -> Table:
    columns = (
        *("stage", "limit", "for longer ones", "lost", "end cut", "beginning cut", "left out"),
        *("same after the cut", "enough would be"),
    )
    return Table(
        "What the limits of the stages do",
        columns,
        tuple(
            (
                f"{limited.stage} ({limited.part})",
                limited.bound,
                limited.rule,
                f"{limited.share:.1%} of {limited.rows:,}",
                f"{limited.cut:,}",
                f"{limited.truncated:,}",
                f"{limited.dropped:,}",
                f"{limited.same:,}",
                f"{limited.enough:,}",
            )
            for limited in limits
        ),
    )


def _pairs(report: Report) -> list[Table]:
    pairs = report.pairs
    if pairs is None:
        return []
    fitted = f" fitted on {pairs.fitted_on:,} pairs" if pairs.fitted_on else ", not fitted"
    rows = (
        ("the chosen answer is longer (all pairs)", f"{pairs.chosen_longer:.1%}"),
        ("the rejected answer is longer (all pairs)", f"{pairs.rejected_longer:.1%}"),
        ("accuracy of: the longer one wins", _accuracy(pairs.longer_wins)),
        (f"accuracy of TF-IDF,{fitted}", _accuracy(pairs.tfidf)),
        ("accuracy of TF-IDF and length", _accuracy(pairs.tfidf_and_length)),
    )
    return [Table("Pairs by the data's labels (lengths in characters)", ("", "share"), rows)]


def _sides(report: Report) -> Table:
    rows = [
        (name, f"{count:,}", f"{report.shared[name]:,}" if name in report.shared else "-")
        for name, count in report.both_sides.items()
    ]
    return Table(
        "Prompts of two parts (a, b: to train on in a, held out in b)",
        ("parts", "on both sides", "shared"),
        tuple(rows),
    )


def _range(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if spread.least == spread.most:
        return str(spread.least)
    return f"{spread.least} / {spread.median} / {spread.most}"


def _lengths(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:,} / {spread.p95:,} / {spread.most:,}"


def _accuracy(measured: Accuracy | None) -> str:
    if measured is None:
        return "-"
    se = "" if measured.se is None else f" ± {measured.se:.1%}"
    prompts = "1 prompt" if measured.prompts == 1 else f"{measured.prompts:,} prompts"
    of = f"{measured.pairs:,} held-out pairs, {prompts}"
    return f"{measured.accuracy:.1%}{se} of {of}"
