"""The harness of docs/records/claims: what it keeps, its intervals, and one of its tables."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks.claims import heavy_tails, ppo, rao_blackwell, rho_k3
from benchmarks.claims.problems import across, climb, draw
from benchmarks.claims.tables import Kept
from rlhf.functional.kl import k1
from rlhf.oracle.penalties import objective_gradient, penalty_gradient


def test_an_interval_by_hand():
    """Of 1, 2, 3 the half width is t_2 / sqrt(3) = 4.303 / 1.732 = 2.48."""
    assert across([1.0, 2.0, 3.0]) == "2.00 (-0.48 to 4.48)"
    assert across([0.5, 0.5]) == "0.50"
    assert across([0.123], 1) == "0.1"


def test_what_is_kept_is_not_made_again(tmp_path):
    asked = []

    def double(number, by):
        asked.append(number)
        return {"is": number * by}

    file = tmp_path / "new" / "problems.json"
    assert Kept(file).each(2, double, 3.0) == [{"is": 0.0}, {"is": 3.0}]
    assert Kept(file).each(3, double, 3.0) == [{"is": 0.0}, {"is": 3.0}, {"is": 6.0}]
    assert asked == [0, 1, 2]
    Kept(file).each(1, double, 4.0)
    assert asked == [0, 1, 2, 0]


def test_rho_k3_is_token_level_k2(tmp_path):
    (shown,) = rho_k3.tables(Kept(tmp_path / "problems.json"), 2)
    assert [row[0] for row in shown.rows] == [1, 1, 1, 3, 3, 3]
    assert all(float(row[2]) < 1e-12 and float(row[6]) < 1e-12 for row in shown.rows)
    assert "| tokens | local KL, nats |" in str(shown)


def test_ascent_ends_at_the_optimum():
    problem, beta = draw(3, 0), 0.5

    def penalty(table):
        return penalty_gradient(problem.tree, table, problem.ref, k1, "reward")

    assert problem.standing(climb(problem, penalty, beta, steps=200), beta).share_of_gain > 0.98


def test_seeds_of_a_problem_are_one_number(monkeypatch):
    """Shares 90 and 94 of problem 0, 80 of problem 1: means 92 and 80; variance 8 within the one
    problem that has two seeds."""
    runs = [
        SimpleNamespace(config={"data.seed": problem, "kl": "k1"}, share=share)
        for problem, share in ((0, 90.0), (0, 94.0), (1, 80.0))
    ]
    monkeypatch.setattr(ppo, "numbers_of", lambda run: {"share": run.share})
    assert ppo.of_problems(runs, lambda run: run.share) == [92.0, 80.0]
    assert ppo.by_setting(runs, lambda run: run.config["kl"]) == {
        "k1": {0: {"share": 92.0}, 1: {"share": 80.0}}
    }
    assert ppo.between_seeds(runs) == pytest.approx(8**0.5)
    assert ppo.between_seeds(runs[1:]) is None


@pytest.mark.parametrize("estimator", ["k1", "exact"])
def test_single_gradients_add_up_to_that_of_j(estimator):
    problem, beta = draw(3, 1), 0.4
    base = rao_blackwell.baseline(problem, problem.table, beta, estimator)
    each = rao_blackwell.single(problem, problem.table, beta, estimator, base)
    weight = problem.tree.sequence_logp(problem.table).exp()
    true = objective_gradient(problem.tree, problem.table, problem.ref, problem.reward, beta)
    torch.testing.assert_close((weight[:, None, None] * each).sum(0), true, atol=1e-12, rtol=1e-9)


def test_rao_blackwell_k1_has_no_variance_at_the_optimum():
    """There r - beta D is one number for every response: the critic knows it."""
    numbers = rao_blackwell.variances(1, 0.5, "the optimum")
    assert numbers["k1"] < 1e-20 < 1e-3 < numbers["exact"]


@pytest.mark.parametrize(("degrees", "upper"), [(2.0, 0.816497), (4.0, 0.740697)])
def test_the_upper_quartile_of_t(degrees, upper):
    """As tables of Student's t have it; the lower one is its opposite."""
    at = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    found = heavy_tails.quantile(degrees, at).tolist()
    assert found == pytest.approx([-upper, 0.0, upper], abs=1e-6)


def test_heavy_tails_take_the_gold_of_the_optimum_and_less_of_best_of_n(monkeypatch):
    """At 2 nats, where best of 16 has 1.83: half of a normal proxy's gain is gold."""
    monkeypatch.setattr(heavy_tails, "KLS", (2.0,))
    monkeypatch.setattr(heavy_tails, "NS", (16,))
    light, heavy = (heavy_tails.along(0, name) for name in ("normal", "t, 2 degrees"))
    assert light["gold/2.0"] / light["proxy/2.0"] == pytest.approx(0.5, abs=0.05)
    assert heavy["gold/2.0"] / heavy["proxy/2.0"] < 0.05
    assert heavy["bon/16"] > 2 * heavy["gold/2.0"]
