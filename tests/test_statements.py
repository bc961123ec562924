"""No statement without a test or a reason, and the page that says so is current."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def load():
    spec = importlib.util.spec_from_file_location(
        "rlhf_docs_correctness", ROOT / "docs" / "correctness.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_statement_has_a_test_or_a_reason_and_not_both():
    made = load()
    known = made.tests()
    statements = [s for part in made.parts() for s in part["statements"]]
    assert [s["n"] for s in statements] == list(range(1, len(statements) + 1))
    for s in statements:
        assert bool(made.holders(s["name"], known)) != ("why_not" in s), s["name"]


def test_the_page_is_current():
    made = load()
    assert made.PAGE.read_text() == made.page(), "run: python docs/correctness.py"


def test_the_page_on_reliability_names_tests_that_exist():
    page = (ROOT / "docs" / "records" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_/]+\.py)(?:::(test_\w+)…?)?`", page)
    assert len(named) > 50
    for file, test in named:
        path = ROOT / "tests" / file
        assert path.is_file() and test in path.read_text(encoding="utf-8"), f"{file}::{test}"
