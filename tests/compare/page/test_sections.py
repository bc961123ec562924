from dataclasses import replace

from rlhf.compare.page.page import TEMPLATES
from rlhf.compare.page.section import Section, view_of
from rlhf.compare.page.sections import SECTIONS, write_markdown
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.study import study


def test_each_is_once_there_and_has_its_template(gamed):
    sections = [section(view_of(study(gamed, load(gamed)))) for section in SECTIONS]
    assert len({s.key for s in sections}) == len(sections)
    shown = [s for s in sections if s.values is not None]
    assert all((TEMPLATES / f"{s.key}.html").is_file() and s.title for s in shown)
    assert all(
        s.values is not None
        or s.markdown
        or s.key in ("exact", "search", "unfinished", "realigned")
        for s in sections
    )


def test_a_new_one_comes_after_those_that_have_their_place(gamed, tmp_path):
    found = study(gamed, load(gamed))
    first = [Section(key=key, markdown=f"## {key}") for key in ("matched", "new", "frontier")]
    write_markdown(tmp_path / "r.md", replace(found, directory=gamed / "a|b"), first)
    text = (tmp_path / "r.md").read_text()
    assert text == "# a\\|b\n\n## frontier\n\n## matched\n\n## new\n"
