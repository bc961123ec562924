import math

import pytest

from rlhf.compare.figures.frontier import figure
from rlhf.compare.figures.frontier_data import frontiers
from rlhf.compare.read.runs import load, load_run
from rlhf.compare.statistics.study import study


def _figure(directory, title=""):
    found = study(directory, load(directory))
    return figure(found, frontiers(found), title)


def _lines(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


def _labels(ax):
    return [text.get_text() for text in ax.texts if text.get_gid() == "label"]


def test_two_panels_with_a_mark_a_setting_and_its_way(gamed):
    fig = _figure(gamed)
    proxy, gold = fig.axes
    assert [ax.get_ylabel() for ax in fig.axes] == ["proxy reward", "gold reward"]
    assert all("nats" in ax.get_xlabel() for ax in fig.axes)
    assert [list(line.get_xdata()) for line in _lines(proxy, "path")] == [
        [0, 5, 10, 15, 20],
        [0, 1.5, 3, 4.5, 6],
        [0, 0.5, 1, 1.5, 2],
    ]
    means = sorted((c[0].get_xdata()[0], c[0].get_ydata()[0]) for c in gold.containers)
    assert means == [(2.0, 1.5), (6.0, 2.4), (20.0, 1.2)]
    assert [(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in _lines(gold, "sft")] == [
        ((0.0,), (1.0,))
    ]
    assert [tuple(line.get_xdata()) for line in _lines(gold, "best")] == [(6.0,)]
    assert not _lines(proxy, "best")
    assert set(_labels(proxy)) == {"0", "0.05", "0.2", "SFT"}
    assert "-1.2 gold\nwhere proxy is highest" in _labels(gold)


def test_means_and_spread_over_seeds(rundirs, tmp_path):
    for seed, gold in enumerate((1.0, 2.0, 3.0)):
        rundirs.make_run(tmp_path / f"s{seed}", seed=seed, gold=gold, kl=4.0 + seed)
    gold = _figure(tmp_path).axes[1]
    assert len(_lines(gold, "run")) == 3
    (container,) = gold.containers
    assert (container[0].get_xdata()[0], container[0].get_ydata()[0]) == (5.0, 2.0)
    spans = sorted(
        float(segment[1][i] - segment[0][i])
        for i, bars in enumerate(container[2])
        for segment in bars.get_segments()
    )
    # 95 % intervals of KL and of gold: s = 1, t_2 = 4.303
    assert spans == pytest.approx([2 * 4.302653 / math.sqrt(3)] * 2)


def test_one_run_that_went_far_gets_a_square_root_scale(rundirs, tmp_path):
    for coef, kl in ((0.0, 100.0), (0.1, 4.0), (0.2, 2.0)):
        rundirs.make_run(tmp_path / f"c{coef}", coef=coef, kl=kl)
    ax = _figure(tmp_path).axes[0]
    assert ax.get_xscale() == "function"
    assert "square-root" in ax.get_xlabel()


def test_many_long_names_go_into_a_list(rundirs, tmp_path):
    for i in range(12):
        rundirs.make_run(
            tmp_path / f"r{i}", coef=0.01 * (i + 1), controller="Adaptive" if i % 2 else "Fixed"
        )
    fig = _figure(tmp_path)
    (legend,) = fig.legends
    assert len(legend.get_texts()) == 12
    assert _labels(fig.axes[0]) == ["SFT"]


def test_what_is_not_finite_is_not_drawn(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy="nan", gold="inf", kl="nan")
    rundirs.make_run(tmp_path / "b", coef=0.1)
    fig = _figure(tmp_path)
    assert [len(ax.containers) for ax in fig.axes] == [1, 1]
    assert [mark.label for mark in frontiers(study(tmp_path, load(tmp_path)))[1].drawn] == [
        "kl.coef=0.1"
    ]
    assert frontiers(study(tmp_path, [load_run(tmp_path / "a")])) == []


def test_kl_zero_everywhere(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", kl=0.0)
    low, high = _figure(tmp_path).axes[0].get_xlim()
    assert low == 0.0
    assert math.isfinite(high)
    assert high > 0.0


def test_the_file_is_a_picture(gamed, tmp_path):
    from matplotlib.image import imread

    _figure(gamed, "title").savefig(tmp_path / "f.png")
    pixels = imread(tmp_path / "f.png")
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 1500
    assert pixels[..., :3].std() > 0.05


def test_a_title_is_as_many_lines_as_it_needs(gamed):
    figures = [_figure(gamed, title) for title in ("short", "long " * 40)]
    assert [fig.get_suptitle().count("\n") for fig in figures] == [0, 2]
    assert figures[1].get_size_inches()[1] == figures[0].get_size_inches()[1] + 0.5


def test_what_page_and_picture_draw_by_hand(gamed):
    """Gold is 1.2 at 20 nats, 2.4 at 6 and 1.5 at 2; proxy is highest at 20 nats. SFT has 1."""
    proxy, gold = frontiers(study(gamed, load(gamed)))
    assert [mark.mean for mark in gold.marks] == [(20.0, 1.2), (6.0, 2.4), (2.0, 1.5)]
    assert [way.end for mark in gold.marks for way in mark.runs] == [m.mean for m in gold.marks]
    assert gold.marks[2].runs[0].path[-1] == (2.0, 1.5) and gold.sft == 1.0
    assert [points for _, points in gold.lines] == [[(2.0, 1.5), (6.0, 2.4), (20.0, 1.2)]]
    assert gold.best is gold.marks[1] and gold.lost == ((6.0, 2.4), (20.0, 1.2))
    assert proxy.best is None and proxy.lost is None and proxy.first is proxy.marks[1]
