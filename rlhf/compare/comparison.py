"""The whole comparison: read, reckon, draw, write, attach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.compare.page import page as webpage
from rlhf.compare.read.runs import Run, load
from rlhf.compare.read.searches import Crossing, Search, crossings, searches
from rlhf.compare.statistics import exact as oracle, step_response as controllers
from rlhf.compare.statistics.estimates import gap
from rlhf.compare.statistics.findings import Findings, find
from rlhf.compare.statistics.settings import Setting, copied, differing, group, reward_keys
from rlhf.compare.text import matched as matchedtext, report, searches as searchtext
from rlhf.compare.text.answer import answer

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Comparison:
    """`runs` are the lines of runs.csv; `settings` the means over seeds, `<key>`, `<key>_se`,
    `<key>_std` and `<key>_n` for each number."""

    runs: list[dict[str, Any]]
    settings: list[dict[str, Any]]
    files: dict[str, Path]  # report.html, report.md, runs.csv, frontier.png
    answer: str
    links: dict[str, str]  # into MLflow, where the runs are there
    warnings: tuple[str, ...]


class NothingToCompare(ValueError):
    """The directory is no sweep, or an empty one."""


def compare(
    directory: Path | str,
    *,
    runs: Sequence[Run] | None = None,
    console: Console | None = None,
    track: bool = True,
) -> Comparison:
    """Write report.html, report.md, frontier.png and runs.csv into a sweep's directory, and attach
    them to its summary run in MLflow.

    Args:
        runs: those to compare, from wherever they are; then `directory` only takes the files, and
            is made. None: the runs in it.
        console: where to print the table and the paths; None prints nothing.
        track: False leaves MLflow alone. Where MLflow does not answer, a warning says so and the
            files are there all the same.

    Raises:
        NothingToCompare: no run in `directory`.
    """
    import matplotlib as mpl

    directory = Path(directory)
    runs = _found(directory) if runs is None else list(runs)
    if not runs:
        raise NothingToCompare("These places hold no run.")
    directory.mkdir(parents=True, exist_ok=True)
    settings, rewards = group(runs), reward_keys(runs)
    found, varied, copies = find(settings), differing(runs), copied(settings)
    said = answer(found, settings, runs)
    searched: list[Search | Crossing] = [*crossings(runs), *searches(runs)]
    rows = [report.row(run, varied, copies) for run in runs]
    files = {"runs.csv": report.write_csv(directory / "runs.csv", rows)}
    with mpl.rc_context({"text.parse_math": False}):  # a label may have two dollars
        picture = _picture(directory, settings, rewards, found, said.title)
        exact = oracle.write(directory, runs, copies)
        moved = controllers.write(directory, settings)
        page = webpage.write(
            directory / "report.html",
            runs,
            settings,
            rewards,
            found,
            said,
            exact.rows if exact else (),
            searched,
        )
    more = [*([exact.markdown] if exact else []), *([moved[1]] if moved else [])]
    text = report.markdown(directory, runs, settings, found, said, picture, searched, more)
    (directory / "report.md").write_text(text, encoding="utf-8")
    files |= (
        {"report.md": directory / "report.md"}
        | ({"frontier.png": picture} if picture else {})
        | (exact.files if exact else {})
    )
    files |= {"controllers.png": moved[0]} if moved else {}
    files |= (
        {"matched.csv": matchedtext.write_matched(directory / "matched.csv", settings, rewards)}
        if settings
        else {}
    )
    files = {"report.html": page} | files
    told = "\n\n".join(
        [*said.paragraphs, *map(searchtext.sentences, searched), *([exact.text] if exact else [])]
    )
    links: dict[str, str] = {}
    warnings: list[str] = []
    if track:
        from rlhf.compare.publish import attach

        links, warnings = attach(
            directory, runs, text, report.metrics(found, runs), list(files.values())
        )
    made = Comparison(rows, [_setting(s) for s in settings], files, told, links, tuple(warnings))
    if console is not None:
        from rlhf.compare.terminal import show

        show(console, made, runs, report.table(settings, rewards, found))
    return made


def _found(directory: Path) -> list[Run]:
    if not directory.is_dir():
        raise NothingToCompare(f"{directory} is no directory.")
    runs = load(directory)
    if not runs:
        raise NothingToCompare(
            f"{directory} holds no run: a sweep's directory has one directory for each job."
        )
    return runs


def _picture(
    directory: Path, settings: list[Setting], rewards: list[str], found: Findings | None, title: str
) -> Path | None:
    from rlhf.compare.figures import frontier

    drawn = frontier.drawable(settings, rewards)
    path = directory / "frontier.png"
    if not drawn:
        path.unlink(missing_ok=True)  # of an earlier comparison
        return None
    return frontier.draw(path, settings, drawn, found, title)


def _setting(setting: Setting) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "label": setting.label,
        **setting.values,
        "seeds": [run.config.get("seed") for run in setting.runs],
    }
    for key, e in setting.estimates.items():
        if e.n:
            flat |= {key: e.mean, f"{key}_se": e.se, f"{key}_std": e.std, f"{key}_n": e.n}
    for key, base in setting.sft.items():
        gain = gap(setting[key], base)
        flat |= {f"sft/{key}": base.mean, f"sft/{key}_se": base.se} | (
            {} if math.isnan(gain) else {f"{key}_gain_se": gain}
        )
    return flat
