import json
import math

import pytest

from rlhf.compare.figures import page_charts as charts
from rlhf.compare.figures.frontier_data import frontiers
from rlhf.compare.figures.style import styles_of
from rlhf.compare.figures.svg import LINE, MARK
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.along_kl.overoptimisation import fit, gold_gains
from rlhf.compare.statistics.study import study

BEST_OF_N = ((1, 0.0, 1.0), (4, 0.64, 1.5))


def _gids(fig):
    return [line.get_gid() for line in fig.axes[0].lines if line.get_gid()]


def test_a_mark_a_run_and_the_way_behind_it(gamed):
    points = [{"n": n, "kl/sequence_nats": kl, "reward/gold": r} for n, kl, r in BEST_OF_N]
    (gamed / "kl.coef=0.0" / "best_of_n.json").write_text(json.dumps({"points": points}))
    proxy, gold = frontiers(study(gamed, load(gamed)))
    assert gold.best_of_n == [(0.0, 1.0), (0.64, 1.5)] and proxy.best_of_n == []
    fig = charts.frontier(gold, rooted=False)
    gids = _gids(fig)
    assert {g for g in gids if g.startswith(MARK)} == {
        f"{MARK}{run}" for run in ("kl.coef=0.0", "kl.coef=0.05", "kl.coef=0.2", "sft")
    }
    assert {g for g in gids if g.startswith(LINE)} == {
        f"{LINE}{run}" for run in ("kl.coef=0.0", "kl.coef=0.05", "kl.coef=0.2")
    }
    assert gids.count("path") == 1 and gids.count("best") == 1  # best of n
    rooted = charts.frontier(proxy, rooted=True)
    assert "square-root" in rooted.axes[0].get_xlabel() and "best" not in _gids(rooted)


def test_seeds_get_a_mean_with_its_interval(rundirs, tmp_path):
    for seed in range(3):
        rundirs.make_run(tmp_path / f"s{seed}", seed=seed, gold=1.0 + seed, kl=4.0 + seed)
    fig = charts.frontier(frontiers(study(tmp_path, load(tmp_path)))[1], rooted=False)
    (mean,) = [
        line for line in fig.axes[0].lines if line.get_gid() == f"{MARK}setting-kl.coef=0.05"
    ]
    assert (mean.get_xdata()[0], mean.get_ydata()[0]) == (5.0, 2.0)
    bars = [
        tuple(line.get_xdata())
        for line in fig.axes[0].lines
        if line.get_gid() is None and len(line.get_xdata()) == 2
    ]
    half = 4.302653 / math.sqrt(3)
    assert pytest.approx((5 - half, 5 + half)) in bars


def test_the_fit_is_drawn_as_far_as_the_data_go(gamed):
    whole = study(gamed, load(gamed))
    points, styles = whole.members, styles_of(whole.settings)
    found = fit([gold_gains(run) for _, run in points])
    fig = charts.fitted(points, found, styles)
    (line,) = [line for line in fig.axes[0].lines if line.get_gid() == "fit"]
    assert line.get_xdata()[-1] == found.furthest == 20.0
    assert {f"{LINE}{run.name}" for _, run in points} == set(_gids(fig)) - {"fit"}
    gap = charts.gap_along_kl(points, styles)
    assert set(_gids(gap)) == {f"{LINE}{run.name}" for _, run in points}


@pytest.mark.parametrize(("right", "ticks"), [(60.0, [0, 2, 10, 20, 40, 60]), (0.0, [0])])
def test_round_ticks_on_a_root_scale(right, ticks):
    assert charts.root_ticks(right) == ticks


def test_ticks_are_in_order_for_any_range():
    for right in (0.003, 0.7, 3.0, 151.0, 4000.0):
        ticks = charts.root_ticks(right)
        assert ticks == sorted(set(ticks)) and ticks[-1] <= right and len(ticks) > 2
