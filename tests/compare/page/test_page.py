"""report.html: what it says, and in a browser what it does."""

import importlib.util
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rlhf.compare import compare
from rlhf.compare.page.frontier import note_on
from rlhf.compare.page.page import called, numeric, parts
from rlhf.compare.statistics.along_kl.overoptimisation import Fit
from rlhf.compare.text.settings import differs


class Page(HTMLParser):
    """ids, the links' targets, headings, images and tables of a page; fails on a tag that is not
    closed."""

    VOID = {"meta", "input", "br", "link", "img"}

    def __init__(self, text):
        super().__init__()
        self.ids, self.anchors, self.outside, self.open, self.headings, self.unnamed = (
            [],
            [],
            [],
            [],
            [],
            [],
        )
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.anchors += [found["href"]] if tag == "a" else []
        self.outside += [v for k, v in attrs if k in ("src", "href") and not v.startswith("#")]
        self.headings += [tag] if re.fullmatch("h[1-6]", tag) else []
        if tag == "svg" and found.get("aria-hidden") != "true" and not found.get("aria-label"):
            self.unnamed.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        before = len(self.open)
        self.handle_starttag(tag, attrs)
        del self.open[before:]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(rundirs, tmp_path_factory):
    """The page of two coefficients, two seeds each, with samples, health and a run that failed;
    names that would break a careless page."""
    directory = tmp_path_factory.mktemp("sweeps") / "a <b> & c"
    directory.mkdir(parents=True)
    for coef, (proxy, gold, kl) in {0.0: (5.0, 1.2, 20.0), 0.1: (3.0, 2.4, 6.0)}.items():
        for seed in (0, 1):
            run = rundirs.make_run(
                directory / f"c{coef}-s{seed}",
                coef=coef,
                seed=seed,
                proxy=proxy,
                gold=gold + 0.1 * seed,
                kl=kl + 2 * seed,
                iterations=8,
            )
            said = {
                "prompt": "the film",
                "reward/gold": 1.0,
                "kl/sequence_nats": 3.0,
                "ended": True,
                "tokens": [" was", " good"],
            }
            rows = [
                said
                | {
                    "iteration": i,
                    "response": f" was </script><b>good {i}",
                    "token_kl": [0.5, -1.0],
                }
                for i in (0, 8)
            ]
            rundirs.append(run / "samples.jsonl", *rows)
            lines = [
                {
                    "iteration": i,
                    "kl/coef": coef,
                    "kl/sequence_nats": kl * i / 20,
                    "policy/entropy": 2.0,
                }
                for i in range(9, 20)
            ]
            rundirs.append(run / "metrics.jsonl", *lines)
    rundirs.make_run(directory / "lost", coef=0.2, state="failed")
    return compare(directory, track=False).files["report.html"]


def specs(text):
    """The charts of a page."""
    return [
        json.loads(one)
        for one in re.findall(r'<script type="application/json">(.*?)</script>', text)
    ]


def marks(text):
    """The rows of every mark that says something when it is pointed at."""
    return [
        row
        for spec in specs(text)
        for rows in spec["datasets"].values()
        for row in rows
        if isinstance(row, dict) and row.get("tip")
    ]


def test_one_file_that_asks_for_nothing(page):
    text = page.read_text()
    seen = Page(text)
    assert not seen.outside
    assert "url(http" not in text and "@import" not in text and "default-src 'none'" in text
    assert len(seen.ids) == len(set(seen.ids))
    assert {anchor.removeprefix("#") for anchor in seen.anchors} <= set(seen.ids)
    assert seen.headings[0] == "h1" and seen.headings.count("h2") == 8
    assert not seen.unnamed
    assert len(text) < 3_000_000


def test_an_error_is_the_same_in_a_chart_s_words_and_in_the_table(page):
    """Gold 1.2 and 1.3: t is 12.706, s / sqrt(2) is 0.05, so ± 0.64."""
    text = page.read_text()
    assert "kl.coef=0: 1.25 ± 0.64 at 21 ± 13 nats" in text
    assert '<td class="number">1.25 ± 0.64</td>' in text
    assert "5 nats: kl.coef=0.1 is highest" in text


def test_nothing_of_the_runs_is_taken_for_markup(page):
    text = page.read_text()
    assert "<title>a &lt;b&gt; &amp; c: comparison</title>" in text
    assert "</script><b>" not in text
    tips = [row["tip"] for row in marks(text)]
    assert {tip.get("response") for tip in tips if tip["title"] == "kl.coef=0.1, seed 0"} == {
        None,
        " was </script><b>good 8",
    }
    assert any(tip["title"].startswith("kl.coef=0.1: mean of 2 seeds") for tip in tips)


def test_the_answer_comes_first_and_every_section_has_something(page):
    text = page.read_text()
    assert text.index("Use kl.coef=0.1: gold reward") < text.index(
        "Settings at the end of training"
    )
    for said in (
        *(
            "1 of 5 runs did not finish",
            "ValueError: the reward became nan",
            "over 2 seeds (",
            "Tokens are shaded",
        ),
        *(
            "No controller here has a KL target",
            "KL blow-up",
            "not reached",
            "one for all runs",
            "R²",
        ),
    ):
        assert said in text, said


def test_what_is_not_there_is_said(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "s" / "only", gold=None)
    text = compare(tmp_path / "s", track=False).files["report.html"].read_text()
    Page(text)
    for said in (
        "Gold reward was not measured during training",
        "none of these metrics",
        "recorded no samples",
        "no package versions",
    ):
        assert said in text, said


def test_nothing_finished_is_still_a_page(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "s" / "a", state="failed")
    text = compare(tmp_path / "s", track=False).files["report.html"].read_text()
    Page(text)
    assert "No run of this sweep has finished yet." in text and "nothing to draw" in text


def test_small_pieces(gamed):
    from rlhf.compare.read.runs import load
    from rlhf.compare.statistics.settings import group

    assert differs(group(load(gamed)))[0] == ["setting", "kl.coef", "seeds"]
    assert numeric(["1.0 ± 2", "-", "+3"]) and not numeric(["a"]) and not numeric(["-"])
    assert parts("1.5 (1 to 2)") == ("1.5", "1 to 2") and parts("1.5") == ("1.5", "")


@pytest.fixture
def browser(tmp_path):
    if shutil.which("chromium") is None:
        pytest.skip("no chromium on the PATH")
    spec = importlib.util.spec_from_file_location(
        "rlhf_test_browser", Path(__file__).parent / "browser.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    opened = module.Browser(tmp_path / "profile")
    yield opened
    opened.close()


TIP = "document.querySelector('#vg-tooltip-element.visible')?.innerText ?? null"
FIRST = "[...document.querySelectorAll('#frontier tbody tr')].map(r => r.cells[0].innerText.trim())"
DRAW = """(async () => {
  for (const box of document.querySelectorAll('.vega')) {
    box.scrollIntoView({block: 'center', behavior: 'instant'});
    while (!box.querySelector('.vega-embed svg')) await new Promise(done => setTimeout(done, 20));
  }
  scrollTo(0, 0);
  return document.querySelectorAll('.vega > svg').length;
})()"""
# of every point of every chart: does its middle meet it or another mark that says something?
DEAD = """(() => {
  const dead = [];
  for (const box of document.querySelectorAll('.vega')) {
    box.scrollIntoView({block: 'center', behavior: 'instant'});
    for (const mark of box.querySelectorAll('.mark-symbol.role-mark path')) {
      const b = mark.getBoundingClientRect();
      const met = document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2);
      if (met !== mark && !met?.__data__?.tooltip) dead.push(mark.getAttribute('aria-label'));
    }
  }
  return dead;
})()"""


@pytest.mark.slow
def test_in_a_browser_every_mark_hovers_the_legend_filters_and_tables_sort(page, browser):
    browser.open(page)
    assert browser.ask(DRAW) == 0  # no still picture is left
    assert browser.requests == [page.as_uri()] and not browser.complaints
    assert browser.ask(DEAD) == []

    browser.ask("scrollTo(0, 0)")
    assert browser.ask(TIP) is None
    browser.point("#answer [aria-label^='kl.coef=0.1: mean of 2 seeds']:last-of-type")
    assert "mean of 2 seeds" in browser.ask(TIP)  # the best one, within its ring
    browser.point("h1")
    assert browser.ask(TIP) is None

    stops = "[...document.querySelectorAll('#answer svg [tabindex=\"0\"]')].length"
    assert browser.ask(stops) == 1
    browser.ask("document.querySelector('#answer svg [tabindex=\"0\"]').focus()")
    seen = {browser.ask(TIP).split("\n")[0]}
    for _ in range(14):
        browser.key("ArrowRight")
        seen.add(browser.ask(TIP).split("\n")[0])
    assert "kl.coef=0, seed 1" in seen and "SFT, where all runs begin" in seen
    browser.key("Escape")
    assert browser.ask(TIP) is None

    dim = (
        "[...document.querySelectorAll('#answer .mark-symbol.role-mark path')]"
        ".filter(m => parseFloat(m.getAttribute('opacity')) < 0.1).length"
    )
    assert browser.ask(dim) == 0
    browser.point(".legend button[data-setting='kl.coef=0.1']", "click")
    browser.ask("new Promise(done => setTimeout(done, 300))")
    assert browser.ask(dim) == 3  # the two runs and the mean of the other setting
    browser.point(".legend .all", "click")
    browser.ask("new Promise(done => setTimeout(done, 300))")
    assert browser.ask(dim) == 0

    best = "kl.coef=0.1 (best)"
    assert browser.ask(FIRST) == ["SFT", "kl.coef=0", best]
    browser.point("#frontier thead th:nth-child(5) button", "click")  # gold
    assert browser.ask(FIRST) == ["SFT", "kl.coef=0", best]
    browser.point("#frontier thead th:nth-child(5) button", "click")
    assert browser.ask(FIRST) == [best, "kl.coef=0", "SFT"]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_first_screen_has_the_verdict_and_the_frontier(page, browser, width, height):
    browser.open(page, width=width, height=height)
    browser.ask("new Promise(done => setTimeout(done, 500))")
    assert browser.ask("document.documentElement.scrollWidth") == width
    verdict = browser.ask("document.querySelector('.headline').getBoundingClientRect().bottom")
    chart = browser.ask("document.querySelector('#answer .vega').getBoundingClientRect().bottom")
    assert 0 < verdict < height and 0 < chart < height


@pytest.mark.slow
def test_on_a_phone_nothing_sticks_out(page, browser):
    browser.open(page, width=390, height=844)
    assert browser.ask(DRAW) == 0
    assert browser.ask("document.documentElement.scrollWidth") == 390
    browser.point("#answer [aria-label^='SFT, where all runs begin']", "click")
    left, right = browser.ask(
        "(b => [b.left, b.right])(document.querySelector('#vg-tooltip-element')"
        ".getBoundingClientRect())"
    )
    assert "SFT, where all runs begin" in browser.ask(TIP) and left >= 0 and right <= 390
    assert (
        browser.ask(
            "Math.max(...[...document.querySelectorAll('tbody th')].map(h => h.offsetWidth))"
        )
        < 0.45 * 390
    )
    assert browser.ask(FIRST) == ["SFT", "0", "0.1 (best)"]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_the_page(page, browser, dark):
    from rlhf.compare.figures.style import contrast

    browser.open(page, dark=dark)
    pairs = browser.ask(
        "[...new Set([...document.querySelectorAll('p, h1, h2, th, td, a, figcaption,"
        " .muted')].map(e => getComputedStyle(e).color))].map(c => [c,"
        " getComputedStyle(document.body).backgroundColor])"
    )
    for pair in pairs:
        ink, paper = (
            "#" + "".join(f"{int(x):02x}" for x in re.findall(r"\d+", colour)[:3])
            for colour in pair
        )
        assert contrast(ink, paper) >= 4.5, pair


def test_a_long_prompt_is_cut_where_a_mark_is_pointed_at(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "s" / "a")
    rundirs.append(run / "samples.jsonl", {"iteration": 3, "prompt": "x" * 5000, "response": "y"})
    page = compare(tmp_path / "s", track=False).files["report.html"].read_text()
    prompts = {row["tip"].get("prompt") for row in marks(page)}
    assert prompts == {None, "x" * 200 + " …"}


def test_a_name_has_its_short_form_for_narrow_screens():
    assert (
        called({"kl.coef=1": "1"}, "kl.coef=1 (best)")
        == '<span class="full">kl.coef=1</span><span class="brief">1</span> (best)'
    )
    assert called({}, "<b>") == "&lt;b&gt;"


def test_a_fit_says_over_what_its_intervals_are():
    fitted = {"form": "rl", "alpha": 1.0, "beta": 1.0, "points": 9, "r2": 1.0, "furthest": 9.0}
    sure = {"alpha_interval": (0, 2), "beta_interval": (0, 2), "peak_interval": (0.5, 2)}
    none = dict.fromkeys(sure)
    note = note_on([("PPO", Fit(**fitted, **sure, runs=5))])
    assert note.startswith("In brackets: 95 % confidence intervals (PPO: over whole runs).")
    few = note_on([("PPO", Fit(**fitted, **none, runs=1))])
    assert "PPO has none (1 run; 4 are needed)" in few
    kept = Fit(**fitted | {"form": "best_of_n"}, **none, runs=1)
    assert "best of n has none (its points share their responses)" in note_on([("best of n", kept)])
