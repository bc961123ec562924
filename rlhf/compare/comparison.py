"""The whole comparison: read, reckon, draw, write, attach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures import controllers, exact as exact_figure, frontier
from rlhf.compare.figures.style import DPI
from rlhf.compare.page import page
from rlhf.compare.page.section import View, view_of
from rlhf.compare.page.sections import SECTIONS, write_markdown
from rlhf.compare.read import Run, load
from rlhf.compare.result import Comparison, NothingToCompare
from rlhf.compare.statistics import Setting, Study, gap
from rlhf.compare.statistics.study import study as study_of
from rlhf.compare.text import exact as exact_text, matched, report, searches, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console


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
    directory = Path(directory)
    runs = _load(directory) if runs is None else list(runs)
    if not runs:
        raise NothingToCompare("These places hold no run.")
    directory.mkdir(parents=True, exist_ok=True)
    study = study_of(directory, runs)
    view, files = _write(study)
    links, warnings = _attach(study, files) if track else ({}, [])
    result = Comparison(
        runs=report.rows(study),
        settings=[_flat(s) for s in study.settings],
        files=files,
        answer="\n\n".join(
            [
                *view.answer.paragraphs,
                *map(searches.sentences, study.searches),
                *exact_text.terminal(study),
            ]
        ),
        links=links,
        warnings=tuple(warnings),
    )
    if console is not None:
        from rlhf.compare.terminal import show

        show(console, result, study.unfinished, settings.table(study))
    return result


def _load(directory: Path) -> list[Run]:
    if not directory.is_dir():
        raise NothingToCompare(f"{directory} is no directory.")
    runs = load(directory)
    if not runs:
        raise NothingToCompare(
            f"{directory} holds no run: a sweep's directory has one directory for each job."
        )
    return runs


def _write(study: Study) -> tuple[View, dict[str, Path]]:
    """Every file that the comparison has something for; of the others none is left of before."""
    import matplotlib as mpl

    files: dict[str, Path] = {}
    with mpl.rc_context({"text.parse_math": False}):  # a label may have two dollars
        view = view_of(study)
        for name, (wanted, write) in _writers(view).items():
            path = study.directory / name
            if wanted:
                write(path)
                files[name] = path
            else:
                path.unlink(missing_ok=True)
    return view, files


def _writers(view: View) -> dict[str, tuple[object, Callable[[Path], object]]]:
    """By the name of a file: whether there is something for it, and what writes it."""
    study, exact, panels = view.study, view.study.exact, view.frontiers
    sections = [section(view) for section in SECTIONS]

    def picture(draw: Callable[[], Figure]) -> Callable[[Path], object]:
        return lambda path: draw().savefig(path, dpi=DPI)

    return {
        "report.html": (True, lambda path: page.write(path, view, sections)),
        "runs.csv": (True, lambda path: report.write_csv(path, study)),
        "report.md": (True, lambda path: write_markdown(path, study, sections)),
        "frontier.png": (
            panels,
            picture(lambda: frontier.figure(study, panels, view.answer.title)),
        ),
        "oracle.csv": (exact.table, lambda path: exact_text.write_csv(path, exact)),
        "oracle.png": (exact.curves, picture(lambda: exact_figure.figure(exact))),
        "controllers.png": (study.moved, picture(lambda: controllers.figure(study))),
        "matched.csv": (study.matched, lambda path: matched.write_csv(path, study)),
    }


def _attach(study: Study, files: dict[str, Path]) -> tuple[dict[str, str], list[str]]:
    from rlhf.compare.publish import attach

    return attach(study, report.metrics(study), list(files.values()))


def _flat(setting: Setting) -> dict[str, Any]:
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
