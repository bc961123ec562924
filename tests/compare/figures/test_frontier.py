import json

import pytest

from rlhf.compare.figures import frontier as charts
from rlhf.compare.figures.frontier_data import frontiers
from rlhf.compare.figures.look import page_look
from rlhf.compare.figures.style import styles_of
from rlhf.compare.page.marks import marks
from rlhf.compare.read.runs import load, load_run
from rlhf.compare.statistics.study import study
from tests.compare.specs import domain, layers, lines, points, texts

BEST_OF_N = ((1, 0.0, 1.0), (4, 0.64, 1.5))


def _charts(directory):
    """The page's charts of proxy and gold."""
    whole = study(directory, load(directory))
    look, tips = page_look(styles_of(whole.settings)), marks(whole)
    return [charts.frontier(data, look, tips, "alt") for data in frontiers(whole)]


def _measure(directory):
    rows = [{"n": n, "kl/sequence_nats": kl, "reward/gold": r} for n, kl, r in BEST_OF_N]
    (directory / "best_of_n.json").write_text(json.dumps({"points": rows}))


def test_a_mark_a_setting_and_its_way_by_hand(gamed):
    _measure(gamed / "kl.coef=0.0")
    proxy, gold = _charts(gamed)
    assert lines(proxy)["kl.coef=0.05, seed 0"] == [
        (0, 0),
        (1.5, 0.75),
        (3, 1.5),
        (4.5, 2.25),
        (6, 3),
    ]
    large = points(gold)[-1]
    assert [(row["x"], row["y"]) for row in large] == [(20.0, 1.2), (6.0, 2.4), (2.0, 1.5)]
    best_of_n, star = points(gold)[:2]
    assert [(row["x"], row["y"]) for row in best_of_n] == [(0.0, 1.0), (0.64, 1.5)]
    assert [(row["x"], row["y"]) for row in star] == [(0.0, 1.0)]
    assert texts(gold) >= {"0.05", "0.2", "SFT"}
    assert "1.2 lower where the proxy reward is highest" in json.dumps(gold)
    assert "1.2 lower" not in json.dumps(proxy)


def test_of_single_runs_no_layer_of_marks_is_empty(gamed):
    """A screen reader meets one as a picture without a name."""
    for chart in _charts(gamed):
        assert all(rows for kind, _, rows, _ in layers(chart) if kind == "point")


def test_every_mark_has_a_tooltip_and_the_ring_lies_below_the_marks(gamed, rundirs):
    """The ring of the best is empty and large: above the mark it would take its pointer."""
    rundirs.make_run(gamed / "again", coef=0.05, seed=1, gold=2.6, kl=7.0, iterations=4)
    _measure(gamed / "kl.coef=0.0")
    for chart in _charts(gamed):
        for kind, encoding, rows, mark in layers(chart):
            if kind == "point":
                assert encoding["tooltip"]["field"] == "tip" and all(row["tip"] for row in rows)
                assert encoding["description"]["field"] == "spoken"
            silent = kind == "text" or (kind in ("rule", "line") and mark.get("tooltip", 0) is None)
            assert silent or encoding["tooltip"], (kind, mark)
    gold = _charts(gamed)[1]
    filled = [m.get("filled") for kind, _, _, m in layers(gold) if kind == "point"]
    assert filled.count(False) == 1
    ring = points(gold)[filled.index(False)]
    above = [
        row["tip"]["title"] for rows in points(gold)[filled.index(False) + 1 :] for row in rows
    ]
    assert ring[0]["tip"]["title"] in above
    assert "kl.coef=0.05: mean of 2 seeds" in ring[0]["tip"]["title"]


def test_a_line_has_wide_segments_that_take_the_pointer(gamed):
    wide = [
        (encoding["tooltip"]["field"], mark["strokeWidth"], rows[0])
        for kind, encoding, rows, mark in layers(_charts(gamed)[1])
        if kind == "rule" and mark.get("strokeOpacity") == 0
    ]
    ((field, width, first),) = wide
    assert (field, width, first["run"]) == ("run", 9, "kl.coef=0, seed 0")
    assert (first["x"], first["x2"]) == ([0, 5, 10, 15], [5, 10, 15, 20])


def test_means_with_their_intervals_over_seeds(rundirs, tmp_path):
    for seed, gold in enumerate((1.0, 2.0, 3.0)):
        rundirs.make_run(tmp_path / f"s{seed}", seed=seed, gold=gold, kl=4.0 + seed)
    chart = _charts(tmp_path)[1]
    small, large = points(chart)[-2:]
    assert len(small) == 3 and [(row["x"], row["y"]) for row in large] == [(5.0, 2.0)]
    (mark,) = frontiers(study(tmp_path, load(tmp_path)))[1].marks
    bars = [
        row
        for kind, e, rows, mark in layers(chart)
        if kind == "rule" and "x2" in e and mark.get("strokeOpacity") != 0
        for row in rows
    ]
    interval = (mark.x_interval.low, mark.x_interval.high)
    assert [(row["x"], row["x2"]) for row in bars] == [pytest.approx(interval, rel=1e-5)]


def test_one_run_that_went_far_does_not_squeeze_the_rest(rundirs, tmp_path):
    for coef, kl, gold in ((0.0, 100.0, 1.0), (0.1, 4.0, 2.0), (0.2, 2.0, 1.5)):
        rundirs.make_run(tmp_path / f"c{coef}", coef=coef, kl=kl, gold=gold)
    chart = _charts(tmp_path)[1]
    x = next(e["x"] for _, e, _, _ in layers(chart) if "x" in e)
    assert x["scale"]["type"] == "sqrt" and "square-root" in x["title"]
    assert domain(chart, "x") == pytest.approx([0.0, 112.36])  # 1.06 times as wide as sqrt(100)


def test_a_reward_that_is_far_off_is_drawn_at_the_edge_and_says_so(rundirs, tmp_path):
    for i, gold in enumerate((1.5, 1.6, 1.7, 1.8, 1.9, -900.0)):
        rundirs.make_run(tmp_path / f"c{i}", coef=0.1 * (i + 1), gold=gold)
    chart = _charts(tmp_path)[1]
    low, high = domain(chart, "y")
    assert 0.0 < low < 1.0 and high < 3.0
    lost = points(chart)[-1][-1]
    assert low < lost["y"] < 1.0
    assert lost["tip"]["outside the chart"] == "at -900, drawn at its edge"


def test_many_settings_are_named_in_the_legend_alone(rundirs, tmp_path):
    for i in range(12):
        rundirs.make_run(tmp_path / f"r{i}", coef=0.01 * (i + 1))
    whole = study(tmp_path, load(tmp_path))
    chart = _charts(tmp_path)[0]
    assert texts(chart) == {"SFT"}
    picture = charts.picture(frontiers(whole), styles_of(whole.settings), "title", "kl.coef")
    color = next(e["color"] for _, e, _, _ in layers(picture) if "color" in e)
    assert len(color["legend"]["values"]) == 12 and color["legend"]["title"] == "kl.coef"


def test_a_page_chart_takes_its_legend_from_the_page(gamed):
    chart = _charts(gamed)[0]
    color = next(e["color"] for _, e, _, _ in layers(chart) if "color" in e)
    assert color["legend"] is None and color["scale"]["range"][0] == "var(--c0)"
    names = [p["name"] for p in chart["params"]]
    assert "chosen" in names and chart["width"] == "container"


def test_what_is_not_finite_is_not_drawn(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy="nan", gold="inf", kl="nan")
    rundirs.make_run(tmp_path / "b", coef=0.1)
    assert [len(points(chart)[-1]) for chart in _charts(tmp_path)] == [1, 1]
    assert frontiers(study(tmp_path, [load_run(tmp_path / "a")])) == []


def test_kl_zero_everywhere(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", kl=0.0)
    assert domain(_charts(tmp_path)[0], "x") == [0.0, 1.0]


def test_what_page_and_picture_draw_by_hand(gamed):
    """Gold is 1.2 at 20 nats, 2.4 at 6 and 1.5 at 2; proxy is highest at 20 nats. SFT has 1."""
    proxy, gold = frontiers(study(gamed, load(gamed)))
    assert [mark.mean for mark in gold.marks] == [(20.0, 1.2), (6.0, 2.4), (2.0, 1.5)]
    assert [way.end for mark in gold.marks for way in mark.runs] == [m.mean for m in gold.marks]
    assert gold.marks[2].runs[0].path[-1] == (2.0, 1.5) and gold.sft == 1.0
    assert gold.lines == [[(2.0, 1.5), (6.0, 2.4), (20.0, 1.2)]]
    assert gold.best is gold.marks[1] and gold.lost == ((6.0, 2.4), (20.0, 1.2))
    assert proxy.best is None and proxy.lost is None and proxy.first is proxy.marks[1]


@pytest.mark.parametrize("panels", [1, 2])
def test_the_picture_has_a_panel_a_reward(gamed, panels):
    whole = study(gamed, load(gamed))
    data = frontiers(whole)[:panels]
    picture = charts.picture(data, styles_of(whole.settings), "a title " * 20, "kl.coef")
    assert len(picture["concat"]) == panels
    assert [p["title"] for p in picture["concat"]] == [d.title for d in data]
    assert len(picture["title"]["text"]) >= 2  # wrapped
