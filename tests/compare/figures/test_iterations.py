from rlhf.compare.figures import iterations as panels
from rlhf.compare.figures.style import styles_of
from rlhf.compare.figures.svg import LINE
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.study import study
from rlhf.compare.text.results import held
from rlhf.metrics import VITALS


def _study(rundirs, tmp_path, rows, **kwargs):
    run = rundirs.make_run(tmp_path / "r", **kwargs)
    (run / "metrics.jsonl").unlink()
    rundirs.append(run / "metrics.jsonl", *({"iteration": i, **row} for i, row in enumerate(rows)))
    return study(tmp_path, load(tmp_path))


def test_a_vital_is_drawn_where_it_was_recorded(rundirs, tmp_path):
    found = _study(rundirs, tmp_path, [{"response/ended": 1.0}, {"response/ended": 0.75}])
    styles = styles_of(found.settings)
    without = next(v for v in VITALS if v.label == "Share without EOS")
    fig = panels.vital(found.members, without, styles)
    (line,) = fig.axes[0].lines
    assert list(line.get_ydata()) == [0.0, 0.25] and line.get_gid() == f"{LINE}r"
    assert panels.vital(found.members, VITALS[0], styles) is None


def test_first_explained_variances_do_not_flatten_the_rest(rundirs, tmp_path):
    found = _study(rundirs, tmp_path, [{"ppo/explained_variance": v} for v in (-90.0, 0.2, 0.8)])
    what = next(v for v in VITALS if v.keys[0] == "ppo/explained_variance")
    assert (
        panels.vital(found.members, what, styles_of(found.settings)).axes[0].get_ylim()[0]
        == what.floor
        == -1.0
    )


def test_coefficient_and_kl_with_the_target(rundirs, tmp_path):
    rows = [
        {"kl/coef": c, "kl/sequence_nats": k}
        for c, k in ((0.01, 0.0), (0.1, 5.0), (0.2, 6.0), (0.2, 6.0), (0.2, 6.0), (0.2, 6.0))
    ]
    found = _study(rundirs, tmp_path, rows, controller="Adaptive")
    styles = styles_of(found.settings)
    assert panels.coefficient(found.steering, styles).axes[0].get_yscale() == "log"
    figures = [
        panels.coefficient(found.steering, styles),
        panels.kl_over_iterations(found.steering, styles),
    ]
    assert [fig.axes[0].lines[0].get_gid() for fig in figures] == [f"{LINE}r"] * 2
    lines = figures[1].axes[0].lines
    assert [tuple(line.get_ydata()) for line in lines] == [
        (0.0, 5.0, 6.0, 6.0, 6.0, 6.0),
        (6.0, 6.0),
    ]
    (row,) = held(found)
    assert row[:4] == ["kl.coef=0.05", "0", "6 nats a response", "2"] and row[-1] == "0.2"


def test_no_target_no_row(rundirs, tmp_path):
    found = _study(rundirs, tmp_path, [{"eval/reward/gold": 1.0}])
    assert held(found) == []
    assert panels.coefficient(found.steering, styles_of(found.settings)) is None
    assert panels.kl_over_iterations(found.steering, styles_of(found.settings)) is None


def test_long_series_are_thinned_but_keep_their_end():
    points = [(i, float(i)) for i in range(1001)]
    kept = panels.thin(points, 100)
    assert len(kept) <= 101 and kept[0] == (0, 0.0) and kept[-1] == (1000, 1000.0)
    assert panels.thin(points[:5]) == points[:5] and panels.thin([]) == []
