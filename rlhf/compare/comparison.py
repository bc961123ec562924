"""The whole comparison: read, reckon, draw, write, attach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures import frontier, iterations, over, vega
from rlhf.compare.figures.look import picture_look
from rlhf.compare.page import page
from rlhf.compare.page.section import View, view_of
from rlhf.compare.page.sections import SECTIONS, write_markdown
from rlhf.compare.publish import attach
from rlhf.compare.read import Run, load
from rlhf.compare.result import Comparison, NothingToCompare
from rlhf.compare.statistics import LIKE, THESE, Setting, gain, setting_interval
from rlhf.compare.statistics.study import study as study_of
from rlhf.compare.terminal import show
from rlhf.compare.text import costs, report, results, searches, settings
from rlhf.compare.text.tables import write_csv
from rlhf.imports import uncollected

if TYPE_CHECKING:
    from rich.console import Console


PICTURES = ("frontier.png", "oracle.png", "controllers.png")


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
    with uncollected():
        return _compared(Path(directory), runs, console, track)


def _compared(
    directory: Path, runs: Sequence[Run] | None, console: Console | None, track: bool
) -> Comparison:
    nothing = "These places hold no run."
    if runs is None:
        if not directory.is_dir():
            raise NothingToCompare(f"{directory} is no directory.")
        nothing = f"{directory} holds no run: a sweep's directory has one directory for each job."
        runs = load(directory)
    if not runs:
        raise NothingToCompare(nothing)
    directory.mkdir(parents=True, exist_ok=True)
    study = study_of(directory, runs)
    view = view_of(study)
    with vega.unchecked():
        drawn = {name: spec for name, spec in pictures(view).items() if spec is not None}
        files = _write(view, drawn)
    metrics, written = report.metrics(study), list(files.values())
    links, warnings = attach(study, metrics, written, drawn) if track else ({}, [])
    searched = map(searches.sentences, study.searches)
    paragraphs = [*view.answer.paragraphs, *searched, *results.exact_lines(study)]
    result = Comparison(
        runs=report.rows(study),
        settings=[_flat(s) for s in study.settings],
        files=files,
        answer="\n\n".join(paragraphs),
        links=links,
        warnings=tuple(warnings),
    )
    if console is not None:
        show(console, result, study.unfinished, settings.table(study))
    return result


def _write(view: View, drawn: Mapping[str, vega.Spec]) -> dict[str, Path]:
    """Every file that the comparison has something for; of the others none is left of before."""
    files: dict[str, Path] = {}
    for name, (wanted, write) in _writers(view, drawn).items():
        path = view.study.directory / name
        if wanted:
            write(path)
            files[name] = path
        else:
            path.unlink(missing_ok=True)
    return files


def _writers(
    view: View, drawn: Mapping[str, vega.Spec]
) -> dict[str, tuple[object, Callable[[Path], object]]]:
    """By the name of a file: whether there is something for it, and what writes it."""
    study, exact = view.study, view.study.exact
    sections = [section(view) for section in SECTIONS]
    runs, matched = report.rows(study), results.matched_rows(study)
    ends, margins = settings.interval_rows(study), settings.margin_rows(study)
    mixed = costs.realigned_rows(study)

    return {
        "report.html": (True, lambda path: page.write(path, view, sections)),
        "runs.csv": (True, lambda path: write_csv(path, runs, report.columns(runs))),
        "report.md": (True, lambda path: write_markdown(path, study, sections)),
        **{name: (name in drawn, partial(vega.save_png, drawn.get(name, {}))) for name in PICTURES},
        "oracle.csv": (exact.table, lambda path: write_csv(path, exact.table)),
        "settings.csv": (ends, lambda path: write_csv(path, ends)),
        "differences.csv": (margins, lambda path: write_csv(path, margins)),
        "realigned.csv": (mixed, lambda path: write_csv(path, mixed, report.every(mixed))),
        "matched.csv": (matched, lambda path: write_csv(path, matched)),
    }


def pictures(view: View) -> dict[str, vega.Spec | None]:
    """The charts of the picture files by their names; None where there is nothing to draw."""
    study, styles, panels = view.study, view.styles, view.frontiers
    look, labels = (
        picture_look(styles, "setting"),
        {run.name: s.label for s, run in study.members},
    )
    keys = ", ".join(dict.fromkeys(k for s in study.settings for k in s.values)) or "kl.coef"
    exact, title = study.exact, "Reward of each run beside the exact optimum"
    drawn = (
        frontier.picture(panels, styles, view.answer.headline, keys) if panels else None,
        over.exact(exact, labels, look, title) if exact.curves and exact.rows else None,
        iterations.controllers(study, styles) if study.moved else None,
    )
    return dict(zip(PICTURES, drawn, strict=True))


def _flat(setting: Setting) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "label": setting.label,
        **setting.values,
        "seeds": [run.config.get("seed") for run in setting.runs],
    }
    for key, e in setting.estimates.items():
        if e.n:
            flat |= {key: e.mean, f"{key}_se": e.se, f"{key}_std": e.std, f"{key}_n": e.n}
            these = setting_interval(setting, key, THESE)
            flat |= {f"{key}_low": these.low, f"{key}_high": these.high}
            like = setting_interval(setting, key)
            if like.prompts == LIKE:
                flat |= {f"{key}_like_low": like.low, f"{key}_like_high": like.high}
    for key, base in setting.sft.items():
        over = gain(setting, key)
        flat |= {f"sft/{key}": base.mean, f"sft/{key}_se": base.se} | (
            {f"{key}_gain": over.mean, f"{key}_gain_low": over.low, f"{key}_gain_high": over.high}
            if over.known
            else {}
        )
    return flat
