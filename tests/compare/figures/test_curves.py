"""KL paths and realigned policies in the frontier's chart."""

import pytest

from rlhf.compare.figures import frontier as charts
from rlhf.compare.figures.frontier_data import frontiers
from rlhf.compare.figures.look import page_look
from rlhf.compare.figures.style import styles_of
from rlhf.compare.page.frontier import deciding
from rlhf.compare.page.marks import marks
from rlhf.compare.page.section import view_of
from rlhf.compare.read.runs import gather
from rlhf.compare.statistics.study import study
from tests.compare.made import make_path, realign, spend
from tests.compare.specs import domain, layers, lines, texts

ENDS = {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5), 0.01: (3.5, 3.0, 1.2)}  # KL went back
STOPS = {0.0: (0.0, 0.0, 1.0), 0.5: (2.0, 0.8, 1.3), 1.0: (5.0, 1.0, 1.5), 2.0: (12.0, 1.1, 0.4)}


@pytest.fixture
def drawn(rundirs, tmp_path):
    make_path(rundirs, tmp_path / "p", ENDS, seconds=10.0)
    run = rundirs.make_run(tmp_path / "f", coef=0.1, kl=5.0, iterations=40)
    spend(run, iterations=40, seconds=100.0)
    realign(run, {"decoding": STOPS}, seconds=6.0)
    return study(tmp_path, gather([tmp_path]))


def _gold(whole):
    (data,) = (data for data in frontiers(whole) if data.key == "reward/gold")
    look, tips = page_look(styles_of(whole.settings)), marks(whole)
    return data, charts.frontier(data, look, tips, "alt")


def test_a_path_is_a_line_through_its_points_in_their_order(drawn):
    data, chart = _gold(drawn)
    (path,) = data.paths
    assert [at for _, at in path.stops] == [(1.0, 1.1), (4.0, 1.5), (3.5, 1.2)]
    assert lines(chart)["KL path, 3 points, seed 0"] == [(1.0, 1.1), (4.0, 1.5), (3.5, 1.2)]
    # the way of training once, that of the path's run; earlier points are a part of it
    ways = [title for title in lines(chart) if title.endswith(", seed 0") and "path " in title]
    assert "kl.controller=path kl.coef=0.01, seed 0" in ways
    assert "kl.controller=path kl.coef=0.5, seed 0" not in ways
    assert data.lines == []  # no line by KL through the points beside that of the path


def test_a_realigned_policy_is_a_thin_line_through_its_lambdas(drawn):
    data, chart = _gold(drawn)
    (line,) = data.realigned
    assert (line.setting, line.by, line.first) == (
        "kl.controller=fixed kl.coef=0.1",
        "decoding",
        True,
    )
    assert [at for _, at in line.stops] == [(0.0, 1.0), (2.0, 1.3), (5.0, 1.5), (12.0, 0.4)]
    thin = [
        (mark["strokeDash"], [(row["x"], row["y"]) for row in rows])
        for kind, e, rows, mark in layers(chart)
        if kind == "line" and mark.get("strokeDash") == [2, 2] and "color" in e
    ]
    assert thin == [([2, 2], [at for _, at in line.stops])]
    assert {"λ 0.5", "λ 2"} <= texts(chart) and "λ 1" not in texts(chart)
    assert domain(chart, "x")[1] > 12.0  # it lies within the chart
    low, high = domain(chart, "y")
    assert low < 0.4 < high


def test_what_the_marks_of_a_curve_say(drawn):
    tips = marks(drawn)
    (path,) = drawn.paths
    told = tips[f"path {path[-1].directory}"]
    assert told["lines"] == [["iterations", "9"], ["CPU seconds", "30"], ["responses", "72"]]
    (_, curve) = drawn.realigned[0]
    said = tips[f"decoding {curve.run.directory} 0.5"]
    assert said["title"] == "kl.controller=fixed kl.coef=0.1, seed 0, λ 0.5 while decoding"
    assert dict(said["lines"]) == {
        "KL, nats": "2.00 ± 0.20",
        "proxy reward": "0.80 ± 0.20",
        "gold reward": "1.30 ± 0.20",
        "cost": "6 CPU seconds for all λ, after f",
    }


def test_the_legend_and_the_words_for_those_who_do_not_see(drawn):
    (chart,) = deciding(view_of(drawn))
    assert "Thick lines: KL paths through their points, a line a seed." in chart.note
    assert "Dotted with open circles: realigned while decoding" in chart.note
    alt = chart.spec["description"]
    assert "1 KL path: 1 to 4 nats, 3 marks" in alt
    assert "1 realigned policy: 0 to 12 nats, 4 marks" in alt
    picture = charts.picture(frontiers(drawn), styles_of(drawn.settings), "title", "kl.coef")
    assert "KL paths through their points" in " ".join(picture["title"]["subtitle"])


def test_a_study_without_curves_has_none(gamed):
    whole = study(gamed, gather([gamed]))
    assert all(not data.paths and not data.realigned for data in frontiers(whole))
    assert charts.legend(frontiers(whole)) == ""
