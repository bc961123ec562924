import math

import pytest

from rlhf.compare.figures.frontier import HUES, draw, drawable, figure, path_of, styles_of
from rlhf.compare.figures.place_names import place
from rlhf.compare.read.runs import load, load_run
from rlhf.compare.statistics.findings import find
from rlhf.compare.statistics.settings import group, reward_keys


def _figure(directory):
    runs = load(directory)
    settings, rewards = group(runs), reward_keys(runs)
    return figure(settings, drawable(settings, rewards), find(settings))


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
    # plus and minus one standard deviation, of KL and of gold
    assert spans == pytest.approx([2.0, 2.0])


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
    assert path_of(load_run(tmp_path / "a"), "reward/gold") == []
    assert drawable(group([load_run(tmp_path / "a")]), ["reward/gold"]) == []


def test_kl_zero_everywhere(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", kl=0.0)
    low, high = _figure(tmp_path).axes[0].get_xlim()
    assert low == 0.0
    assert math.isfinite(high)
    assert high > 0.0


def test_the_file_is_a_picture(gamed, tmp_path):
    from matplotlib.image import imread

    runs = load(gamed)
    settings = group(runs)
    pixels = imread(
        draw(tmp_path / "f.png", settings, ["reward/proxy", "reward/gold"], find(settings))
    )
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 1500
    assert pixels[..., :3].std() > 0.05


def test_names_do_not_cover_each_other():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    fig = Figure(figsize=(5, 4), dpi=100)
    FigureCanvasAgg(fig)
    ax = fig.subplots()
    ax.set(xlim=(0, 10), ylim=(0, 10))
    place(
        ax,
        [
            (5.0, 5.0, "one", "k"),
            (5.05, 5.05, "two", "k"),
            (4.95, 5.0, "three", "k"),
            (9.9, 9.9, "corner", "k"),
        ],
    )
    fig.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without the lines to their marks
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    frame = ax.get_window_extent()
    assert all(
        frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1
        for b in boxes
    )


def test_a_hue_for_each_controller_and_a_mark_for_each_coefficient(rundirs, tmp_path):
    for controller in ("Fixed", "Adaptive"):
        for coef in (0.02, 0.1, 0.3):
            if (controller, coef) != ("Adaptive", 0.02):
                rundirs.make_run(tmp_path / f"{controller}{coef}", coef=coef, controller=controller)
    settings = group(load(tmp_path))
    styles = {s.short: styles_of(settings)[s.label] for s in settings}
    cold, warm = HUES[1], HUES[0]  # adaptive comes first
    assert [
        styles[name][1] for name in ("fixed 0.02", "fixed 0.1", "adaptive 0.1", "adaptive 0.3")
    ] == ["o", "s", "s", "^"]
    assert (styles["fixed 0.02"][0], styles["fixed 0.3"][0], styles["adaptive 0.3"][0]) == (
        cold[0],
        cold[1],
        warm[1],
    )
    assert len({colour for colour, _ in styles.values()}) == 5


def test_settings_that_share_nothing_keep_colours_far_apart(rundirs, tmp_path):
    for i, (controller, n) in enumerate((("Fixed", 2), ("Adaptive", 3))):
        rundirs.make_run(
            tmp_path / str(i),
            controller=controller,
            coef=0.1 * (i + 1),
            config={"ppo": {"iterations": n}},
        )
    assert [colour for colour, _ in styles_of(group(load(tmp_path))).values()] == [
        "#0072B2",
        "#D55E00",
    ]


def test_a_title_is_as_many_lines_as_it_needs(gamed):
    settings = group(load(gamed))
    figures = [figure(settings, ["reward/gold"], None, title) for title in ("short", "long " * 20)]
    assert [fig.get_suptitle().count("\n") for fig in figures] == [0, 2]
    assert figures[1].get_size_inches()[1] == figures[0].get_size_inches()[1] + 0.5
