import pytest

from rlhf.compare.figures import page_charts as charts
from rlhf.compare.figures.frontier import styles_of
from rlhf.compare.figures.svg import LINE, MARK
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.findings import find
from rlhf.compare.statistics.overoptimisation import fit
from rlhf.compare.statistics.settings import group


def _gids(fig):
    return [line.get_gid() for line in fig.axes[0].lines if line.get_gid()]


def test_a_mark_a_run_and_the_way_behind_it(gamed):
    settings = group(load(gamed))
    bon = [(1, 0.0, 1.0), (4, 0.64, 1.5)]
    fig = charts.frontier(
        settings, "reward/gold", styles_of(settings), find(settings), rooted=False, bon=bon
    )
    gids = _gids(fig)
    assert {g for g in gids if g.startswith(MARK)} == {
        f"{MARK}{run}" for run in ("kl.coef=0.0", "kl.coef=0.05", "kl.coef=0.2", "sft")
    }
    assert {g for g in gids if g.startswith(LINE)} == {
        f"{LINE}{run}" for run in ("kl.coef=0.0", "kl.coef=0.05", "kl.coef=0.2")
    }
    assert gids.count("path") == 1 and gids.count("best") == 1  # best of n
    rooted = charts.frontier(settings, "reward/gold", styles_of(settings), None, rooted=True)
    assert "square-root" in rooted.axes[0].get_xlabel() and "best" not in _gids(rooted)


def test_seeds_get_a_mean_with_its_interval(rundirs, tmp_path):
    for seed in range(3):
        rundirs.make_run(tmp_path / f"s{seed}", seed=seed, gold=1.0 + seed, kl=4.0 + seed)
    settings = group(load(tmp_path))
    fig = charts.frontier(settings, "reward/gold", styles_of(settings), None, rooted=False)
    (mean,) = [
        line for line in fig.axes[0].lines if line.get_gid() == f"{MARK}setting-kl.coef=0.05"
    ]
    assert (mean.get_xdata()[0], mean.get_ydata()[0]) == (5.0, 2.0)
    bars = [
        tuple(line.get_xdata())
        for line in fig.axes[0].lines
        if line.get_gid() is None and len(line.get_xdata()) == 2
    ]
    assert (4.0, 6.0) in bars


def test_gap_and_gains_by_hand(gamed):
    """Gold goes 1, 2.3, 2.3, 2.3, 1.2 and proxy 0, 1.25, 2.5, 3.75, 5 at KL 0, 5, 10, 15, 20."""
    run = group(load(gamed))[0].runs[0]
    kls, gaps = zip(*charts.gap_path(run), strict=True)
    assert kls == (0, 5, 10, 15, 20) and gaps == pytest.approx((0.0, -0.05, 1.2, 2.45, 4.8))
    kls, gains = zip(*charts.gold_gains(run), strict=True)
    assert kls == (5, 10, 15, 20) and gains == pytest.approx((1.3, 1.3, 1.3, 0.2))


def test_the_fit_is_drawn_as_far_as_the_data_go(gamed):
    settings = group(load(gamed))
    points = [(s, run) for s in settings for run in s.runs]
    found = fit([charts.gold_gains(run) for _, run in points])
    fig = charts.fitted(points, found, styles_of(settings))
    (line,) = [line for line in fig.axes[0].lines if line.get_gid() == "fit"]
    assert line.get_xdata()[-1] == found.furthest == 20.0
    assert {f"{LINE}{run.name}" for _, run in points} == set(_gids(fig)) - {"fit"}
    gap = charts.gap_along_kl(settings, styles_of(settings))
    assert set(_gids(gap)) == {f"{LINE}{run.name}" for _, run in points}


@pytest.mark.parametrize(("right", "ticks"), [(60.0, [0, 2, 10, 20, 40, 60]), (0.0, [0])])
def test_round_ticks_on_a_root_scale(right, ticks):
    assert charts.root_ticks(right) == ticks


def test_ticks_are_in_order_for_any_range():
    for right in (0.003, 0.7, 3.0, 151.0, 4000.0):
        ticks = charts.root_ticks(right)
        assert ticks == sorted(set(ticks)) and ticks[-1] <= right and len(ticks) > 2
