import xml.etree.ElementTree as ET

import pytest

from rlhf.compare.figures.page_charts import blank
from rlhf.compare.figures.svg import INK, LINE, MARK, inline


@pytest.fixture(scope="module")
def drawn():
    fig, ax = blank()
    ax.plot([0, 1], [0, 1.23456789], color="#0072b2", gid="path")
    ax.plot([0, 1], [0, 1], color="#0072b2", gid=f"{LINE}a & <b>")
    ax.plot([1], [1], "o", color="#0072B2", gid=f"{MARK}a & <b>")
    ax.plot([2], [1], "o", color=INK, gid=f"{MARK}nobody")
    ax.set_xlabel("KL < 3 & more")
    names = {f"{MARK}a & <b>": "Run a & <b>: gold 1", f"{LINE}a & <b>": "Run a & <b>"}
    return inline(fig, name="one", alt='what it "shows"', marks=names, colours={"#0072b2": "--c0"})


def test_a_fragment_of_a_page(drawn):
    root = ET.fromstring(drawn)
    assert root.tag == "svg" and (root.get("role"), root.get("aria-label")) == (
        "group",
        'what it "shows"',
    )
    assert (
        "<?xml" not in drawn
        and "<style" not in drawn
        and "metadata" not in drawn
        and "http" not in drawn
    )
    assert "width" not in root.attrib and root.get("viewBox")


def test_text_stays_text_and_takes_the_pages_font(drawn):
    texts = ["".join(t.itertext()).strip() for t in ET.fromstring(drawn).iter("text")]
    assert "KL < 3 & more" in texts
    assert "DejaVu" not in drawn


def test_colours_are_variables(drawn):
    assert "var(--c0)" in drawn and "var(--ink)" in drawn and "var(--grid)" in drawn
    assert "#0072b2" not in drawn.lower() and INK not in drawn


def test_words_in_a_settings_colour_are_mixed_with_ink():
    fig, ax = blank()
    ax.text(0.5, 0.5, "0.1", color="#0072b2", gid="label")
    drawn = inline(fig, name="words", alt="", colours={"#0072b2": "--c0"})
    (label,) = [g for g in ET.fromstring(drawn).iter("g") if g.get("class") == "label"]
    assert "color-mix(in srgb, var(--c0) 65%, var(--ink))" in label.find("text").get("style")


def test_marks_can_be_reached_and_are_named(drawn):
    (mark,) = [g for g in ET.fromstring(drawn).iter("g") if g.get("class") == "mark"]
    assert (mark.get("data-mark"), mark.get("tabindex"), mark.get("role")) == (
        "a & <b>",
        "0",
        "img",
    )
    assert mark.get("aria-label") == "Run a & <b>: gold 1" == mark.find("title").text


def test_lines_too(drawn):
    (line,) = [g for g in ET.fromstring(drawn).iter("g") if g.get("class") == "line"]
    assert (line.get("data-line"), line.get("tabindex"), line.get("aria-label")) == (
        "a & <b>",
        "0",
        "Run a & <b>",
    )
    assert line.find("title").text == "Run a & <b>" and line.find("path") is not None


def test_no_id_repeats_and_coordinates_are_short(drawn):
    fig, ax = blank()
    ax.plot([0, 1], [0, 1])
    other = inline(fig, name="two", alt="other", marks={f"{MARK}elsewhere": "in another figure"})
    ids = [
        e.get("id") for text in (drawn, other) for e in ET.fromstring(text).iter() if e.get("id")
    ]
    assert len(ids) == len(set(ids)) and ids
    assert "1.234567" not in drawn
    assert ET.fromstring(other).get("role") == "img"


def test_the_same_figure_is_the_same_text():
    def again():
        fig, ax = blank()
        ax.plot([0, 1], [0, 1], "o")
        return inline(fig, name="same", alt="")

    assert again() == again()
