"""report.html: the whole comparison in one file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rlhf.compare.figures import iterations as panels
from rlhf.compare.figures.frontier import styles_of
from rlhf.compare.figures.palette import themes
from rlhf.compare.page.charts import (
    Look,
    exact_chart,
    frontier_charts,
    health_charts,
    iteration_charts,
    over_charts,
)
from rlhf.compare.page.samples import side_by_side
from rlhf.compare.page.searches import search_marks, search_parts
from rlhf.compare.page.tooltips import SHAPES, marks
from rlhf.compare.read.provenance import (
    fingerprints,
    manifests,
    revisions,
    shared,
    starts,
    versions,
)
from rlhf.compare.read.runs import Run
from rlhf.compare.read.searches import Crossing, Search
from rlhf.compare.statistics.findings import Findings
from rlhf.compare.statistics.health import RULES, by_kind, diagnose, well
from rlhf.compare.statistics.intervals import say
from rlhf.compare.statistics.matched import BUDGETS, Cell, cell
from rlhf.compare.statistics.settings import Setting
from rlhf.compare.text import report
from rlhf.compare.text.answer import Answer

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The matched-KL table of one reward."""

    reward: str
    rows: list[tuple[str, list[Cell]]]  # setting, a cell a budget

    @property
    def tops(self) -> list[str | None]:
        """For each budget the setting with the highest mean."""
        columns = zip(*(cells for _, cells in self.rows), strict=True)
        names = [name for name, _ in self.rows]
        return [
            max(
                ((c.interval.mean, n) for c, n in zip(column, names, strict=True) if c.reached),
                default=(0, None),
            )[1]
            for column in columns
        ]


def write(
    path: Path,
    runs: Sequence[Run],
    settings: Sequence[Setting],
    rewards: Sequence[str],
    found: Findings | None,
    said: Answer,
    exact: Sequence[dict[str, Any]],
    searched: Sequence[Search | Crossing] = (),
) -> Path:
    """Write the page. `exact`: the rows of oracle.csv, empty where the problem is not
    enumerable."""
    text = render(context(path.parent, runs, settings, rewards, found, said, exact, searched))
    # half a surrogate pair in a sample is no text
    path.write_text(text, encoding="utf-8", errors="replace")
    return path


def context(
    directory: Path,
    runs: Sequence[Run],
    settings: Sequence[Setting],
    rewards: Sequence[str],
    found: Findings | None,
    said: Answer,
    exact: Sequence[dict[str, Any]],
    searched: Sequence[Search | Crossing] = (),
) -> dict[str, Any]:
    """Everything that the template shows, as plain values and finished SVG."""
    styles = styles_of(settings)
    told = marks(settings, rewards)
    told |= search_marks(searched, told)
    look = Look(
        styles=styles,
        colours={colour: f"--c{i}" for i, (colour, _) in enumerate(styles.values())},
        told=told,
    )
    made, samples = manifests(runs), side_by_side(settings)
    return {
        "title": directory.name,
        "counts": (sum(run.finished for run in runs), len(runs)),
        "answer": said,
        "themes": [
            (f"--c{i}", *pair)
            for i, pair in enumerate(themes([colour for colour, _ in styles.values()]))
        ],
        "swatches": {
            label: swatch(f"--c{i}", marker)
            for i, (label, (_, marker)) in enumerate(styles.items())
        },
        "settings": report.table(settings, rewards, found) if settings else ([], []),
        "shorts": {s.label: s.short for s in settings},
        "starred": len(starts(settings)) == 1,
        "seeded": any(len(s.runs) > 1 for s in settings),
        "reading": report.reading(settings) if settings else "",
        "searched": search_parts(searched, settings, look),
        "frontier": frontier_charts(settings, rewards, found, look),
        "exact": exact_chart(runs, exact),
        "over": over_charts(settings, look),
        "matched": (
            [matched(settings, key) for key in _deciding_first(rewards, found)] if settings else []
        ),
        "budgets": BUDGETS,
        "iterations": iteration_charts(settings, look),
        "held": (panels.HELD, panels.held(settings)),
        "health": health_charts(settings, look),
        "sick": by_kind(diagnose(settings, runs)),
        "well": well(settings),
        "rules": RULES,
        "differs": differs(settings),
        "prints": [
            (stage, shared(v), ", ".join(x[:12] for x in v))
            for stage, v in fingerprints(runs).items()
        ],
        "revisions": revisions(made),
        "versions": [(package, ", ".join(found)) for package, found in versions(made).items()],
        "unfinished": [(run.name, run.status, run.error or "") for run in runs if not run.finished],
        "again": report.again(directory),
        "samples": samples,
        "shaded": any(r.tokens for s in samples for r in s.responses),
        "marks": told,
    }


def swatch(colour: str, marker: str) -> Markup:
    """A setting's mark as it stands in the charts."""
    shape = Markup(
        '<svg class="swatch" viewBox="-6 -6 12 12" aria-hidden="true"><path d="{}"'
        ' fill="var({})"/></svg>'
    )
    return shape.format(SHAPES[marker], colour)


def matched(settings: Sequence[Setting], key: str) -> Matched:
    return Matched(
        reward=key.removeprefix("reward/"),
        rows=[(s.label, [cell(s, key, budget) for budget in BUDGETS]) for s in settings],
    )


def differs(settings: Sequence[Setting]) -> tuple[list[str], list[list[str]]]:
    """A row a setting, a column for each key that differs, and the seeds."""
    keys = list(dict.fromkeys(key for s in settings for key in s.values))
    head = ["setting", *keys, "seeds"]
    lines = [
        [
            s.label,
            *(str(s.values.get(key, "")) for key in keys),
            ", ".join(str(run.config.get("seed", "?")) for run in s.runs),
        ]
        for s in settings
    ]
    return head, lines


def render(values: Mapping[str, Any]) -> str:
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "say": say,
        "parts": parts,
        "fixed": fixed,
        "called": partial(called, values["shorts"]),
    }
    environment.tests["numeric"] = numeric
    script, style = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.js", "style.css")
    )
    return environment.get_template("report.html").render(
        **values, script=Markup(script), style=Markup(style)
    )


def called(shorts: Mapping[str, str], text: str) -> Markup:
    """A name in a table's first column; of a setting also the short one, for narrow screens."""
    label, best, _ = text.partition(" (best)")
    if shorts.get(label, label) == label:
        return Markup("{}").format(text)
    return Markup('<span class="full">{}</span><span class="brief">{}</span>{}').format(
        label, shorts[label], best
    )


def numeric(cells: Sequence[str]) -> bool:
    """Whether a table's column holds numbers: then it is set flush right and sorts by them."""
    some = [cell for cell in cells if cell not in ("", "-", "never")]
    return bool(some) and all(cell.lstrip("+-")[:1].isdigit() for cell in some)


def fixed(value: float, digits: int) -> str:
    """Without the sign of a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def parts(text: str) -> tuple[str, str]:
    """1.57 (1.45 to 1.69) -> the number, the interval"""
    number, _, rest = text.partition(" (")
    return number, rest.removesuffix(")")


def _deciding_first(rewards: Sequence[str], found: Findings | None) -> list[str]:
    return sorted(rewards, key=lambda key: found is None or key != found.key)
