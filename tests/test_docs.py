"""The pages of the repository and of its site: every link leads somewhere, every page is in the
menu, lines can be edited, and pages made from the code have all of it. `make docs` asks mkdocs the
same of the built site."""

import os
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from docs import generate, site
from rlhf import commands
from rlhf.commands.parts.overview import overview
from rlhf.config.described.gather import groups
from rlhf.metrics import METRICS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SITE = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
BESIDE = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md"),
    *("examples/plugin/README.md", "outputs/README.md", "sweeps/README.md"),
)
PAGES = [*BESIDE, *(f"docs/{page}" for page in SITE)]
MADE = ("docs/reference/correctness.md",)
LINK = re.compile(r"\]\((?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
FENCE = re.compile(r"\s*(```|~~~)")
ITEM = re.compile(r"\s*([-*+]|\d+\.) ")


def prose(page):
    """(number, line) of what stands in no code block, fenced or indented."""
    fenced = indented = False
    before = ""
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            indented = line.startswith("    ") and (indented or not before.strip())
            if not indented:
                yield number, line
        before = line


def headings(page):
    return [line.lstrip("#").strip() for _, line in prose(page) if re.match(r"#{1,6} ", line)]


def menu(item):
    """The pages that a part of the menu names."""
    if isinstance(item, str):
        return [item]
    parts = item.values() if isinstance(item, dict) else item
    return [page for part in parts for page in menu(part)]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"`[^`]*`", "", "\n".join(line for _, line in prose(page)))
    for link in LINK.finditer(text):
        if re.match(r"\w+:", link["path"]):
            continue
        target = os.path.normpath(os.path.join(os.path.dirname(page), link["path"] or ""))
        target = target if link["path"] else page
        if page.startswith("docs/") and target.removeprefix("docs/") in generate.PAGES:
            continue  # of the site alone; mkdocs knows its anchors
        assert (ROOT / target).exists(), f"{page}: {link['path']}"
        if link["anchor"]:
            anchors = [site.slug(title) for title in headings(target)]
            assert link["anchor"] in anchors, f"{page}: {link['path']}#{link['anchor']}"


def test_every_page_is_in_the_menu_once():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = menu(site.expanded(config["nav"]))
    assert sorted(named) == sorted([*SITE, *generate.PAGES])


def test_the_index_names_every_page():
    listed = (DOCS / "index.md").read_text(encoding="utf-8").partition("## All pages")[2]
    others = ("index.md", "decisions/", "records/")  # which have lists of their own
    pages = [page for page in (*SITE, *generate.PAGES) if not page.startswith(others)]
    assert len(pages) > 40
    assert not [page for page in pages if f"({page})" not in listed]


def test_decisions_records_and_claims_are_listed():
    for folder in ("decisions", "records", "records/claims"):
        listed = (DOCS / folder / "README.md").read_text(encoding="utf-8")
        for page in (DOCS / folder).glob("*.md"):
            assert page.name == "README.md" or f"({page.name})" in listed, page


@pytest.mark.parametrize("page", PAGES)
def test_one_title_at_the_top(page):
    titles = [number for number, line in prose(page) if line.startswith("# ")]
    assert titles == [1]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in MADE])
def test_lines_are_at_most_100_columns(page):
    """Tables excepted, and lines that hold one thing that cannot be broken: a command, a link."""
    for number, line in prose(page):
        broken = re.sub(r"`[^`]*`|\]\([^)]*\)", "", line).split()
        assert len(line) <= 100 or line.lstrip().startswith("|") or len(broken) <= 1, (
            f"{page}:{number}"
        )


@pytest.mark.parametrize("page", [f"docs/{page}" for page in SITE])
def test_lists_and_tables_begin_after_a_blank_line(page):
    """The site's markdown takes them for a part of the paragraph otherwise."""
    lines = [line for _, line in prose(page)]
    for before, line in zip(lines, lines[1:], strict=False):
        begins = ITEM.match(line) if not line.startswith(" ") else None
        if begins and before.strip() and not before.startswith(" "):
            assert ITEM.match(before), f"{page}: {line}"
        if line.startswith("|"):
            assert not before.strip() or before.startswith("|"), f"{page}: {line}"


def test_the_page_on_the_config_has_every_key():
    page = generate.config()
    for group in groups():
        assert f"\n## {group.name or 'Top'}\n" in page
        for option in group.options:
            for key in option.keys:
                assert generate.code(key.name) in page, (group.name, option.name, key.name)


def test_every_key_says_what_it_is_its_range_and_its_default():
    lines = generate.config().splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith("| key |")]
    assert heads
    for at in heads:
        rows = lines[at + 2 : lines.index("", at)]
        assert rows
        for row in rows:
            cells = re.fullmatch(r"\| (.+) \| (.+) \| (.+) \| (.+) \|", row)
            assert cells and all(cell.strip() for cell in cells.groups()), row


def test_a_row_has_type_range_default_and_comment():
    row = next(line for line in generate.config().splitlines() if "kl.controller.kp<" in line)
    assert row.startswith("| <code>kl.controller.kp</code> | number: &#62;= 0 |")
    assert "<code>0.1</code> (pid)" in row
    assert row.endswith("in [controllers](../explanation/controllers.md) |")


def test_the_page_on_metrics_has_every_metric():
    page = generate.metrics()
    assert all(f"| {generate.code(name)} |" in page for name in METRICS)
    assert "</code> | nats per response | neither | KL to SFT |" in page
    assert "</code> | share | more | Accuracy |" in page
    rows = [line for line in page.splitlines() if line.startswith("| <code>")]
    assert len(rows) == len(METRICS) and not [row for row in rows if "|  |" in row]


def test_the_page_on_commands_has_every_subcommand():
    page = generate.commands()
    assert f"\n```text\n{overview()}\n```\n" in page
    for name in commands.names():
        assert f"\n## rlhf {name}\n" in page
        assert f"usage: rlhf {'[run]' if name == 'run' else name} " in page
    assert page.count("Exit codes: 0 ") == len(commands.names())


def test_what_users_may_rely_on_is_there_and_described():
    for modules in generate.API.values():
        for module, names in modules.items():
            for name in names:
                assert getattr(import_module(module), name).__doc__, f"{module}.{name}"
                assert f"::: {module}.{name}\n" in generate.api()


def test_what_is_called_stable_is_on_the_page_from_python():
    page = generate.api()
    stable = (DOCS / "reference" / "stable_api.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in stable.splitlines() if line.startswith("| Python: ")]
    named = re.findall(r"`(rlhf[\w.]*)`", " ".join(rows))
    assert len(named) >= 7
    for name in named:
        assert f" {name}" in page, name
    for address, short in generate.IMPORTED_AS.items():
        module, _, name = short.rpartition(".")
        home, _, own = address.rpartition(".")
        assert getattr(import_module(module), name) is getattr(import_module(home), own)
    assert {"rlhf.functional.kl", "rlhf.kl.estimator", "rlhf.oracle.exact"} <= {
        module for modules in generate.API.values() for module in modules
    }


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    build = pytest.importorskip("mkdocs.commands.build")
    config = pytest.importorskip("mkdocs.config")
    build.build(config.load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    assert (tmp_path / "index.html").is_file()
    assert (tmp_path / "search" / "search_index.json").is_file()
