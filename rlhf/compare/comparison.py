"""The whole comparison: read, reckon, draw, write, attach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.compare import oracle, report
from rlhf.compare.findings import find, sentence
from rlhf.compare.load import load
from rlhf.compare.settings import Setting, differing, group, reward_keys
from rlhf.compare.stats import gap

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Comparison:
    """`runs` are the lines of runs.csv; `settings` the means over seeds, `<key>`, `<key>_se`, `<key>_std` and `<key>_n` for each number."""

    runs: list[dict[str, Any]]
    settings: list[dict[str, Any]]
    files: dict[str, Path]  # report.md, runs.csv, frontier.png
    answer: str
    links: dict[str, str]  # into MLflow, where the runs are there
    warnings: tuple[str, ...]


class NothingToCompare(ValueError):
    """The directory is no sweep, or an empty one."""


def compare(directory: Path | str, *, console: Console | None = None, track: bool = True) -> Comparison:
    """Write frontier.png, runs.csv and report.md into a sweep's directory, and attach them to its summary run in MLflow.

    Args:
        console: where to print the table and the paths; None prints nothing.
        track: False leaves MLflow alone. Where MLflow does not answer, a warning says so and the files are there all the same.

    Raises:
        NothingToCompare: no run in `directory`.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise NothingToCompare(f"{directory} is no directory.")
    runs = load(directory)
    if not runs:
        raise NothingToCompare(f"{directory} holds no run: a sweep's directory has one directory for each job.")
    settings, rewards = group(runs), reward_keys(runs)
    found, varied = find(settings), differing(runs)
    rows = [report.row(run, varied) for run in runs]
    files = {"runs.csv": report.write_csv(directory / "runs.csv", rows)}
    picture = _picture(directory, settings, rewards, found)
    exact = oracle.write(directory, runs)
    text = report.markdown(directory, runs, settings, found, picture) + (f"\n{exact.markdown}" if exact else "")
    (directory / "report.md").write_text(text, encoding="utf-8")
    files |= {"report.md": directory / "report.md"} | ({"frontier.png": picture} if picture else {}) | (exact.files if exact else {})
    answer = sentence(found).replace("**", "") if settings else "No run of this sweep has finished yet."
    answer += f"\n\n{exact.text}" if exact else ""
    links: dict[str, str] = {}
    warnings: list[str] = []
    if track:
        from rlhf.compare.attach import attach

        links, warnings = attach(directory, runs, text, report.metrics(found, runs), list(files.values()))
    made = Comparison(rows, [_setting(s) for s in settings], files, answer, links, tuple(warnings))
    if console is not None:
        from rlhf.compare.screen import show

        show(console, made, runs, report.table(settings, rewards, found))
    return made


def _picture(directory: Path, settings: list[Setting], rewards: list[str], found: Any) -> Path | None:
    from rlhf.compare import frontier

    drawn = frontier.drawable(settings, rewards)
    path = directory / "frontier.png"
    if not drawn:
        path.unlink(missing_ok=True)  # of an earlier comparison
        return None
    return frontier.draw(path, settings, drawn, found)


def _setting(setting: Setting) -> dict[str, Any]:
    flat: dict[str, Any] = {"label": setting.label, **setting.values, "seeds": [run.config.get("seed") for run in setting.runs]}
    for key, e in setting.estimates.items():
        if e.n:
            flat |= {key: e.mean, f"{key}_se": e.se, f"{key}_std": e.std, f"{key}_n": e.n}
    for key, base in setting.sft.items():
        gain = gap(setting[key], base)
        flat |= {f"sft/{key}": base.mean, f"sft/{key}_se": base.se} | ({} if math.isnan(gain) else {f"{key}_gain_se": gain})
    return flat
