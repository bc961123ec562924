"""The reference pages that follow from the code. `make docs` makes them while it builds the site;
none is kept. To read one without the site: python docs/generate.py config"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from rlhf.config.described.facts import Group, Key, Option
    from rlhf.metrics.metric import Metric

WIDTH = "100"  # columns of a help text
PAGE = re.compile(r"docs/([\w/-]+?)\.md")
# what docs/reference/stable_api.md says of Python: single names, and packages with all that is
# public in them
SINGLE = {
    "Runs": {"rlhf.config.compose": ["compose", "validate"], "rlhf.runs.execute": ["run"]},
    "Comparisons": {"rlhf.compare.comparison": ["compare"], "rlhf.compare.result": ["Comparison"]},
    "Packages with pieces": {"rlhf.config.plugins.plugin": ["Plugin"]},
}
IMPORTED_AS = {
    "rlhf.config.compose.compose": "rlhf.compose",
    "rlhf.config.compose.validate": "rlhf.validate",
    "rlhf.runs.execute.run": "rlhf.run",
    "rlhf.compare.comparison.compare": "rlhf.compare.compare",
    "rlhf.compare.result.Comparison": "rlhf.compare.Comparison",
    "rlhf.config.plugins.plugin.Plugin": "rlhf.config.plugins.Plugin",
}
WHOLE = {
    "The mathematics: rlhf.functional": "rlhf.functional",
    "The KL term: rlhf.kl": "rlhf.kl",
    "Exact answers: rlhf.oracle": "rlhf.oracle",
}


def public(package: str) -> dict[str, list[str]]:
    """Module -> its public functions and classes, in the order in which they are written."""
    defined: dict[str, list[str]] = {}
    for path in sorted((ROOT / package.replace(".", "/")).glob("[!_]*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        named = [n.name for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
        defined[f"{package}.{path.stem}"] = [name for name in named if not name.startswith("_")]
    return defined


API = {**SINGLE, **{title: public(package) for title, package in WHOLE.items()}}


ENTITIES = {mark: f"&#{ord(mark)};" for mark in "&<>|*_[]`\\"}


def plain(text: str) -> str:
    """A text without any markup, also within a table."""
    return "".join(ENTITIES.get(mark, mark) for mark in text)


def code(text: str) -> str:
    """A value in code font, also within a table, whose rows are lines."""
    return f"<code>{plain(text)}</code>".replace("\n", "<br>")


def cell(text: str) -> str:
    """A comment as it stands in a table: code spans as such, pages of the docs as links."""
    parts = re.split(r"(`[^`]*`|docs/[\w/-]+\.md)", " ".join(text.split()))
    return "".join(map(_part, parts))


def _part(text: str) -> str:
    if text.startswith("`") and text.endswith("`") and len(text) > 2:
        return code(text[1:-1])
    if page := PAGE.fullmatch(text):
        return f"[{page[1].rpartition('/')[2].replace('_', ' ')}](../{page[1]}.md)"
    return plain(text)


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
    return ["", '<div class="described" markdown>', "", *lines, "", "</div>", ""]


def config() -> str:
    """Every group of conf/: its options, and its keys with type, range, default and comment."""
    from rlhf.config.described.gather import groups

    lines = [
        "# Every setting",
        "",
        "The groups of `conf/`, their options, and the keys of each. A group's option is chosen"
        " with a slash (`kl/controller=pid`), a value is set with dots"
        " (`kl.controller.target=4`). `rlhf config GROUP` says the same in a terminal.",
    ]
    for group in groups():
        lines += ["", f"## {group.name or 'Top'}", ""]
        where = " and ".join(f"`{place}`" for place in group.places if place)
        lines += [*([cell(group.comment)] if group.comment else [])]
        lines += ["", f"Keys stand under {where}."] if where else []
        if group.name:
            lines += table(["option", "what it is"], [_option(option) for option in group.options])
        if keys := _keys(group):
            lines += table(["key", "type and range", "default", "what it is"], keys)
    return "\n".join(lines) + "\n"


def _option(option: Option) -> list[str]:
    more = [*option.chooses, *(f"{one.name}={one.value_text}" for one in option.sets)]
    own = not option.keys and more  # a preset: what it sets is all there is
    words = [cell(option.comment), " ".join(map(code, more)) if own else ""]
    name = f"{code(option.name)}{' (default)' if option.is_default else ''}"
    return [name, "<br>".join(filter(None, words))]


def _keys(group: Group) -> list[list[str]]:
    """A row for each key that differs in name, type or range, the default option's first."""
    rows: dict[tuple[str, str, str], list[tuple[Option, Key]]] = {}
    for option in sorted(group.options, key=lambda option: not option.is_default):
        for key in option.keys:
            rows.setdefault((key.name, key.type, key.range), []).append((option, key))
    return [
        [code(name), _kind(type_, range_), _defaults(group, found), _comment(found)]
        for (name, type_, range_), found in rows.items()
    ]


def _kind(type_: str, range_: str) -> str:
    if type_ == "one of these":
        return " or ".join(code(choice) for choice in range_.split(", "))
    return plain(type_ if range_ in ("", "true, false") else f"{type_}: {range_}")


def _defaults(group: Group, found: list[tuple[Option, Key]]) -> str:
    """The value, with the options that have it where they are not all of one mind."""
    values: dict[str, list[str]] = {}
    for option, key in found:
        values.setdefault(key.default_text, []).append(option.name)
    everywhere = len(values) == 1 and (len(found) == len(group.options) or len(found) > 6)
    return "<br>".join(
        code(value) if everywhere else f"{code(value)} ({', '.join(names)})"
        for value, names in values.items()
    )


def _comment(found: list[tuple[Option, Key]]) -> str:
    comments = dict.fromkeys(key.comment for _, key in found if key.comment)
    notes = dict.fromkeys(f"{option.name}: {key.note}" for option, key in found if key.note)
    return "<br>".join(map(cell, [*comments, *notes]))


def metrics() -> str:
    """Every metric with its unit and the direction that is better."""
    from rlhf.metrics import METRICS

    lines = [
        "# Every metric",
        "",
        "A metric of a training iteration stands in `metrics.jsonl` and on MLflow's pages under its"
        " name, the same on held-out prompts under `eval/` and its name; `summary.json` has the"
        " last evaluation's under the name alone. A standard error stands beside its metric as"
        " `<name>_se`. A reward of your own is `reward/<its name>`. What is averaged over what:"
        " [the numbers of an iteration](iteration.md).",
        "",
        "Rewards have the unit of the scorer that gives them; a reward model that is trained here"
        " has standard deviation 1 over SFT's answers. *Better* says which direction is better when"
        " all else stays the same; *neither* stands beside a number that describes a run, such as"
        " the KL, which is a price.",
    ]
    families: dict[str, list[Metric]] = {}
    for metric in METRICS.values():
        families.setdefault(metric.name.partition("/")[0] if "/" in metric.name else "", []).append(
            metric
        )
    for family, found in sorted(families.items()):
        lines += ["", f"## {family or 'Of a run'}"]
        rows = [
            [code(one.name), one.unit, one.better or "neither", cell(one.title)]
            for one in sorted(found, key=lambda one: one.name)
        ]
        lines += table(["metric", "unit", "better", "what it is"], rows)
    return "\n".join(lines) + "\n"


def commands() -> str:
    """The screen of `rlhf --help`, and every subcommand with its help."""
    from rlhf import commands as room
    from rlhf.commands.parts.overview import overview

    lines = ["# Commands", "", "What `rlhf --help` says:", "", "```text", overview(), "```"]
    lines += ["", "And what each subcommand says. Without a subcommand, `rlhf` runs."]
    for name in ("run", *(name for name in room.names() if name != "run")):
        lines += ["", f"## rlhf {name}", "", "```text", help_of(name).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def help_of(name: str) -> str:
    """What a subcommand's `--help` prints, at one width whatever the terminal."""
    from rlhf import commands as room

    said = io.StringIO()
    before = dict(os.environ)
    os.environ.update(COLUMNS=WIDTH, NO_COLOR="1")
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            room.module(name).main(["--help"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return said.getvalue()


def api() -> str:
    """The public functions and classes, by mkdocstrings."""
    lines = [
        "# From Python",
        "",
        "What users and tests may rely on ([what is stable](stable_api.md)). Functions of"
        " `rlhf.functional`, `rlhf.kl` and `rlhf.oracle` take and return tensors unless they say"
        " otherwise; masks are boolean, True counts; shapes are `[B, T]`, responses by their"
        " tokens.",
    ]
    for title, modules in API.items():
        lines += ["", f"## {title}"]
        for module, names in modules.items():
            for name in names:
                lines += ["", f"::: {module}.{name}"]
                if short := IMPORTED_AS.get(f"{module}.{name}"):
                    lines += ["    options:", f"      heading: {short}"]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "reference/config.md": config,
    "reference/metrics.md": metrics,
    "reference/commands.md": commands,
    "reference/api.md": api,
}


def every() -> Iterator[tuple[str, str]]:
    """(place in docs/, text) of each page."""
    for place, made in PAGES.items():
        yield place, made()


if __name__ == "__main__":
    names = {Path(place).stem: made for place, made in PAGES.items()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", choices=names)
    print(names[parser.parse_args().page](), end="")
