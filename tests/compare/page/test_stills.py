import re

from rlhf.compare.figures import vega
from rlhf.compare.figures.look import page_look
from rlhf.compare.figures.style import SHAPES
from rlhf.compare.page.stills import still

STYLES = {"a": ("#440154", SHAPES[0]), "b": ("#addc30", SHAPES[1])}


def picture(runs):
    look = page_look(STYLES)
    paths = [("a", f"run {i}", [(0.0, 0.0), (1.0, float(i))]) for i in range(runs)]
    lines = vega.run_lines(paths, look, "x:Q", "y:Q")
    return still(vega.spec(lines, look, "what it shows"), "key")


def test_the_still_picture_follows_the_page_and_keeps_its_ids_to_itself():
    svg = picture(2)
    assert "var(--c0)" in svg and 'viewBox="' in svg and 'aria-label="what it shows"' in svg
    assert not re.search(r"<svg [^>]*width=", svg)
    assert re.findall(r'id="([^"]*)"', svg) == ["key-0"] and "url(#key-0)" in svg


def test_a_run_more_is_a_line_more():
    few, many = picture(2), picture(102)
    assert many.count('<path d="M') - few.count('<path d="M') == 100 and "run 7" not in many
    assert many.count('stroke="var(--c0)"') == 1
    assert len(many) - len(few) < 100 * 40
