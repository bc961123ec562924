import json
import math

import pytest

from rlhf.compare.read.curves import Evaluation
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.along_kl.matched import at_budget, cell, climb, matched
from rlhf.compare.statistics.settings import group


def _path(*points):
    return [
        Evaluation(iteration=i, kl=kl, reward=r, reward_se=0.1 * (i + 1))
        for i, (kl, r) in enumerate(points)
    ]


def test_between_two_evaluations():
    # three quarters of the way from 2 to 6
    found = at_budget(_path((0, 0.0), (2, 1.0), (6, 3.0)), 5.0)
    assert (found.reward, found.iteration, found.kl, found.short) == (2.5, 1.75, 5.0, False)
    assert found.reward_se == pytest.approx(0.275) and found.share == 0.875  # iteration 1.75 of 2


def test_the_last_crossing_counts():
    """Up through 5 at reward 1, on to 10, back down through 5 at reward 3."""
    assert at_budget(_path((0, 0.0), (10, 2.0), (9, 3.0), (4, 3.0)), 5.0).reward == 3.0


def test_a_leap_over_the_budget_tells_nothing_of_it():
    assert at_budget(_path((0, 0.0), (2, 1.0)), 1.0).reward == 0.5
    assert at_budget(_path((0, 0.0), (2.1, 1.0)), 1.0) is None


def test_the_end_of_a_run_is_at_its_own_kl():
    assert at_budget(_path((0, 0.0), (5, 2.0)), 5.0).reward == 2.0


def test_frontier_claim_nothing_is_extrapolated():
    path = _path((0, 0.0), (2, 1.0), (4.6, 2.0), (4.55, 2.5))
    near = at_budget(path, 5.0)
    # within a tenth: the last evaluation that near
    assert (near.reward, near.kl, near.short) == (2.5, 4.55, True)
    assert at_budget(path, 10.0) is None
    assert at_budget([], 5.0) is None
    assert at_budget(_path((3, 1.0), (4, 2.0)), 1.0) is None  # began beyond it


def test_a_leap_that_training_took_back_is_no_way_to_the_budget():
    path = _path((0, 0.0), (6, -2.0), (1, 0.2), (3, 1.0), (4, 1.5))
    assert [e.kl for e in climb(path, 5.0)] == [1, 3, 4]
    assert at_budget(path, 5.0) is None
    assert at_budget(path, 2.0).reward == pytest.approx(0.6)


def test_cells_say_how_many_runs_came_there(rundirs, tmp_path):
    for seed, kl in enumerate((10.0, 10.0, 3.0)):
        rundirs.make_run(tmp_path / f"s{seed}", seed=seed, gold=2.0 + seed, kl=kl, iterations=2)
    (setting,) = group(load(tmp_path))
    found = cell(setting, "reward/gold", 5.0)
    assert (found.reached, found.runs, found.short, found.furthest) == (2, 3, False, 10.0)
    assert found.interval.mean == pytest.approx((1.5 + 2.0) / 2)
    nobody = cell(setting, "reward/gold", 20.0)
    assert nobody.reached == 0 and math.isnan(nobody.interval.mean)


def test_a_budget_that_training_left_again(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "s", kl=2.0)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (run / "metrics.jsonl").unlink()
    rundirs.append(
        run / "metrics.jsonl",
        *(row | {"eval/kl/sequence_nats": kl} for row, kl in zip(rows, (0, 4, 6, 2), strict=True)),
    )
    (setting,) = group(load(tmp_path))
    whys = {budget: cell(setting, "reward/gold", budget).why for budget in (5.0, 8.0)}
    assert whys == {5.0: "left again (furthest 6)", 8.0: "not reached (furthest 6)"}
    assert (
        cell(setting, "reward/gold", 5.0).reached == 0
        and cell(setting, "reward/gold", 5.0).furthest == 6.0
    )


def test_a_budget_that_was_stepped_over(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "s", kl=12.0, iterations=1)
    (setting,) = group(load(tmp_path))
    assert cell(setting, "reward/gold", 5.0).why == "passed between two evaluations"


def test_without_any_kl_that_is_said(rundirs, tmp_path):
    (rundirs.make_run(tmp_path / "s") / "metrics.jsonl").unlink()
    (setting,) = group(load(tmp_path))
    assert cell(setting, "reward/gold", 5.0).why == "no KL recorded"


def test_the_table_of_a_reward_and_its_highest(gamed):
    table = matched(group(load(gamed)), "reward/gold")
    assert table.reward == "gold" and table.tops == [
        "kl.coef=0.2",
        "kl.coef=0.2",
        "kl.coef=0",
        "kl.coef=0",
    ]
