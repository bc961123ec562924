from rlhf.compare.figures import iterations as charts
from rlhf.compare.figures.look import page_look
from rlhf.compare.figures.style import styles_of
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.study import study
from rlhf.compare.text.results import held
from rlhf.metrics import VITALS
from tests.compare.specs import domain, layers, lines, texts


def _study(rundirs, tmp_path, rows, **kwargs):
    run = rundirs.make_run(tmp_path / "r", **kwargs)
    (run / "metrics.jsonl").unlink()
    rundirs.append(run / "metrics.jsonl", *({"iteration": i, **row} for i, row in enumerate(rows)))
    return study(tmp_path, load(tmp_path))


def _look(whole):
    return page_look(styles_of(whole.settings))


def test_a_vital_is_drawn_where_it_was_recorded(rundirs, tmp_path):
    whole = _study(rundirs, tmp_path, [{"response/ended": 1.0}, {"response/ended": 0.75}])
    without = next(v for v in VITALS if v.label == "Share without EOS")
    chart = charts.vital(whole.members, without, _look(whole), "alt")
    assert lines(chart) == {"kl.coef=0.05, seed 0": [(0, 0.0), (1, 0.25)]}
    assert charts.vital(whole.members, VITALS[0], _look(whole), "alt") is None


def test_first_explained_variances_do_not_flatten_the_rest(rundirs, tmp_path):
    whole = _study(rundirs, tmp_path, [{"ppo/explained_variance": v} for v in (-90.0, 0.2, 0.8)])
    what = next(v for v in VITALS if v.keys[0] == "ppo/explained_variance")
    chart = charts.vital(whole.members, what, _look(whole), "alt")
    assert domain(chart, "y")[0] == what.floor == -1.0


ROWS = [
    {"kl/coef": c, "kl/sequence_nats": k}
    for c, k in ((0.01, 0.0), (0.1, 5.0), (0.2, 6.0), (0.2, 6.0), (0.2, 6.0), (0.2, 6.0))
]


def test_coefficient_and_kl_with_the_target(rundirs, tmp_path):
    whole = _study(rundirs, tmp_path, ROWS, controller="Adaptive")
    coef = charts.coefficient(whole.steering, _look(whole), "alt")
    y = next(e["y"] for _, e, _, _ in layers(coef) if "y" in e)
    assert y["scale"]["type"] == "log"
    kl = charts.kl_over_iterations(whole.steering, _look(whole), "alt")
    assert [v for _, v in lines(kl)["kl.coef=0.05, seed 0"]] == [0.0, 5.0, 6.0, 6.0, 6.0, 6.0]
    assert texts(kl) == {"target 6"}
    (row,) = held(whole)
    assert row[:4] == ["kl.coef=0.05", "0", "6 nats per response", "2"] and row[-1] == "0.2"


def test_the_picture_of_a_controller_has_its_distance_from_the_target(rundirs, tmp_path):
    whole = _study(rundirs, tmp_path, ROWS, controller="Adaptive")
    picture = charts.controllers(whole, styles_of(whole.settings))
    assert len(picture["vconcat"]) == 3
    band = next(rows for kind, _, rows, _ in layers(picture) if kind == "rect")
    assert band == [{"y": -5.0, "y2": 5.0}]


def test_no_target_no_row(rundirs, tmp_path):
    whole = _study(rundirs, tmp_path, [{"eval/reward/gold": 1.0}])
    assert held(whole) == []
    assert charts.coefficient(whole.steering, _look(whole), "alt") is None
    assert charts.kl_over_iterations(whole.steering, _look(whole), "alt") is None
