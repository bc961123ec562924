from rlhf.compare.figures import over as charts
from rlhf.compare.figures.look import page_look
from rlhf.compare.figures.style import styles_of
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.along_kl.overoptimisation import fit, gold_gains
from rlhf.compare.statistics.study import Exact, study
from tests.compare.specs import layers, lines, points


def test_the_fit_is_drawn_as_far_as_the_data_go(gamed):
    whole = study(gamed, load(gamed))
    look = page_look(styles_of(whole.settings))
    fitted = fit([gold_gains(run) for _, run in whole.members])
    chart = charts.fitted(whole.members, fitted, look, "alt")
    curve = next(rows for kind, _, rows, _ in layers(chart) if kind == "line")
    assert curve[-1]["x"] == fitted.furthest == 20.0
    (dots,) = points(chart)
    assert len(dots) == 12 and dots[-1]["tip"]["title"] == "kl.coef=0.2, seed 0"


def test_proxy_gain_less_gold_gain_by_hand(gamed):
    """At kl.coef=0 proxy gains 5 and gold 0.2; at the start both gain nothing."""
    whole = study(gamed, load(gamed))
    chart = charts.gap_along_kl(whole.members, page_look(styles_of(whole.settings)), "alt")
    path = lines(chart)["kl.coef=0, seed 0"]
    assert path[0] == (0.0, 0.0) and path[-1] == (20.0, 4.8)
    assert [row["y"] for row in points(chart)[-1]][0] == 4.8


def test_no_gold_no_chart(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", gold=None)
    whole = study(tmp_path, load(tmp_path))
    assert charts.gap_along_kl(whole.members, page_look(styles_of(whole.settings)), "alt") is None


def test_runs_beside_the_exact_frontier():
    row = {
        **{"beta": 0.1, "seed": 3, "share_of_gain": 0.97, "kl": 2.0, "reward": 1.5},
        **{"optimum_kl": 2.1, "optimum_reward": 1.6, "name": "r", "copy_of": ""},
    }
    frontier = [{"kl": 0.0, "reward": 0.0}, {"kl": 3.0, "reward": 2.0}]
    exact = Exact(table=[row], curves=[{"frontier": frontier, "best_of_n": frontier}])
    look = page_look({"kl.coef=0.1": ("#440154", "M0 0Z")})
    chart = charts.exact(exact, {"r": "kl.coef=0.1"}, look, "alt")
    (dots,) = points(chart)
    assert dots[0]["setting"] == "kl.coef=0.1" and dots[0]["tip"]["share of the gain"] == "97.0%"
    assert sum(kind == "line" for kind, *_ in layers(chart)) == 2
