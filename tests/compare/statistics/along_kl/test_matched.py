import json
import math
import sys
from pathlib import Path

import pytest

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.along_kl.matched import (
    Cell,
    cell,
    matched,
    pooled_variance,
    range_quantile,
    ranges,
    standing,
    welch_p,
)
from rlhf.compare.statistics.along_kl.reading import Reached, trail
from rlhf.compare.statistics.estimates import interval
from rlhf.compare.statistics.settings import group

GOLD = "reward/gold"


@pytest.fixture(scope="module")
def frontier():
    """benchmarks/matched_kl.py: settings on one known curve."""
    folder = Path(__file__).parents[4] / "benchmarks"
    sys.path.insert(0, str(folder))
    import matched_kl

    sys.path.remove(str(folder))
    return matched_kl


def _cell(setting, budget):
    return cell(setting, [trail(run, GOLD) for run in setting.runs], budget)


def test_cells_say_how_many_runs_came_there(rundirs, tmp_path):
    for seed, kl in enumerate((10.0, 10.0, 3.0)):
        rundirs.make_run(tmp_path / f"s{seed}", seed=seed, gold=2.0 + seed, kl=kl, iterations=2)
    (setting,) = group(load(tmp_path))
    found = _cell(setting, 5.0)
    assert (found.reached, found.runs, found.short, found.furthest) == (2, 3, False, 10.0)
    assert found.interval.mean == pytest.approx((1.5 + 2.0) / 2)
    nobody = _cell(setting, 20.0)
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
    whys = {budget: _cell(setting, budget).why for budget in (5.0, 8.0)}
    assert whys == {5.0: "left again (furthest 6)", 8.0: "not reached (furthest 6)"}
    assert _cell(setting, 5.0).reached == 0 and _cell(setting, 5.0).furthest == 6.0


def test_a_budget_that_was_stepped_over(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "s", kl=12.0, iterations=1)
    (setting,) = group(load(tmp_path))
    assert _cell(setting, 5.0).why == "passed, nothing recorded near"


def test_without_any_kl_that_is_said(rundirs, tmp_path):
    (rundirs.make_run(tmp_path / "s") / "metrics.jsonl").unlink()
    (setting,) = group(load(tmp_path))
    assert _cell(setting, 5.0).why == "no KL recorded"


def test_the_table_of_a_reward_and_its_highest(gamed):
    table = matched(group(load(gamed)), "reward/gold")
    assert table.reward == "gold" and table.tops == [
        "kl.coef=0.2",
        "kl.coef=0.2",
        "kl.coef=0",
        "kl.coef=0",
    ]


def test_the_unit_of_a_comparison_by_hand():
    assert pooled_variance([[1.0, 3.0], [2.0, 4.0], [9.0]]) == (2.0, 2)
    # variances of the means 1 and 3: the root of their mean is sqrt(2)
    assert ranges(-4.0, 1.0, 3.0) == pytest.approx(4 / math.sqrt(2))
    assert math.isnan(ranges(1.0, 0.0, 0.0))
    # two means: sqrt(2) times Student's t with 10 degrees of freedom, 2.228
    assert range_quantile(0.05, 2, 10) == pytest.approx(math.sqrt(2) * 2.228139, abs=1e-4)
    assert welch_p([1.0, 2.0], [1.0, 2.0]) == 1.0
    # t = 1 / sqrt(0.5 / 2 + 0.5 / 2), 2 degrees of freedom: p = 1 - t / sqrt(t^2 + 2)
    assert welch_p([1.0, 2.0], [2.0, 3.0]) == pytest.approx(1 - math.sqrt(0.5))


@pytest.mark.filterwarnings("error")
def test_runs_that_agree_bring_no_warning():
    assert welch_p([0.5, 0.5, 0.5], [2.0, 2.1, 1.9]) < 0.01
    assert welch_p([0.5, 0.5], [2.0, 2.0]) == 0.0
    assert math.isnan(welch_p([0.5, 0.5], [0.5, 0.5]))


def _sweep(rundirs, folder, *, seeds, ends):
    for coef, (gold, kl) in ends.items():
        for seed in range(seeds):
            rundirs.make_run(
                folder / f"{coef}-{seed}", coef=coef, seed=seed, gold=gold + seed / 20, kl=kl
            )
    return group(load(folder))


def test_settings_are_told_apart_over_seeds(rundirs, tmp_path):
    """All end at 5 nats: 0.1 and 0.2 within their spread of 0.05, 0.3 a whole unit lower."""
    ends = {0.1: (3.0, 5.0), 0.2: (2.98, 5.0), 0.3: (2.0, 5.0)}
    table = matched(_sweep(rundirs, tmp_path, seeds=3, ends=ends), GOLD)
    there = table.standings[2]
    assert there.kl == 5.0 and there.order == ("kl.coef=0.1", "kl.coef=0.2", "kl.coef=0.3")
    assert there.apart == (("kl.coef=0.1", "kl.coef=0.3"), ("kl.coef=0.2", "kl.coef=0.3"))
    assert (there.lower, there.level) == (("kl.coef=0.3",), ("kl.coef=0.2",))
    assert there.beyond_noise == ()
    assert table.standings[3].order == () and len(table.standings[3].absent) == 3


def test_below_a_kl_another_setting_is_the_one_to_use(rundirs, tmp_path):
    """0.1 gains 2 in 10 nats, 0.3 gains 1.5 in 5: at 5 nats 0.3 has 2.5 and 0.1 has less."""
    settings = _sweep(rundirs, tmp_path, seeds=3, ends={0.1: (3.0, 10.0), 0.3: (2.5, 5.0)})
    nearer = matched(settings, GOLD).nearer("kl.coef=0.1")
    assert (nearer.kl, nearer.setting, nearer.over_seeds) == (5.0, "kl.coef=0.3", True)
    assert nearer.setting_reward.mean == pytest.approx(2.55, abs=0.02)
    assert matched(settings, GOLD).nearer("kl.coef=0.3") is None


def test_one_seed_each_is_only_beyond_the_noise(rundirs, tmp_path):
    settings = _sweep(rundirs, tmp_path, seeds=1, ends={0.1: (3.0, 10.0), 0.3: (2.5, 5.0)})
    table = matched(settings, GOLD)
    assert all(s.apart == () for s in table.standings)
    nearer = table.nearer("kl.coef=0.1")
    assert (nearer.kl, nearer.over_seeds) == (5.0, False)


def test_noise_that_is_not_known_tells_nothing_apart(rundirs, tmp_path):
    settings = _sweep(rundirs, tmp_path, seeds=1, ends={0.1: (3.0, 5.0), 0.3: (2.0, 5.0)})
    cells = [(s.label, _cell(s, 5.0)) for s in settings]
    silent = [
        (label, c.__class__(**{**vars(c), "readings": tuple(_silent(r) for r in c.readings)}))
        for label, c in cells
    ]
    assert standing(cells, 0.05).beyond_noise and not standing(silent, 0.05).beyond_noise


def test_one_seed_beside_several_that_vary_more_than_their_errors(tmp_path):
    """Readings of 1.3 and -1.3, each with an error of 0.05, beside one of -0.8: by the errors the
    means differ by 0.8 / 0.06 or 13, by the spread over seeds, 1.8, not at all."""
    shared = {"kl": 5.0, "reward_se": 0.05, "iteration": 1.0, "share": 1.0}
    column = [
        (label, _read([Reached(reward=r, short=False, points=9, **shared) for r in rewards]))
        for label, rewards in (("several", (1.3, -1.3)), ("one", (-0.8,)))
    ]
    alike = [(label, _read(list(c.readings)[:1])) for label, c in column]
    assert standing(column, 0.05).beyond_noise == ()
    assert standing(alike, 0.05).beyond_noise == (("several", "one"),)


def _read(readings):
    return Cell(
        interval=interval([r.reward for r in readings], [r.reward_se for r in readings]),
        reached=len(readings),
        runs=2,
        short=False,
        furthest=6.0,
        passed=False,
        budget=5.0,
        readings=tuple(readings),
    )


def _silent(reading):
    return reading.__class__(**{**vars(reading), "reward_se": math.nan})


@pytest.mark.slow
@pytest.mark.parametrize("path", ["like", "steep"])
def test_matched_kl_on_one_known_frontier(frontier, path):
    """Bias below 0.05 of the gain at 5 nats, and intervals that hold the truth."""
    gain = frontier.truth(5.0) - frontier.START
    rows = {at: row for at, row in frontier.readings(path, 60).items() if row[2] > 100}
    assert {budget for budget, _ in rows} == {1.0, 2.0, 5.0, 10.0}
    for bias, held, _ in rows.values():
        assert abs(bias) < 0.05 * gain and held > 0.93


@pytest.mark.slow
@pytest.mark.parametrize(("path", "seeds", "sd"), [("steep", 3, 0.1), ("like", 5, 0.1)])
def test_matched_kl_settings_on_one_frontier_are_not_told_apart(frontier, path, seeds, sd):
    """At most 5 % of sweeps: with 80, up to 8 in 99 of 100 such tests."""
    shares = frontier.claims(path, seeds, sd, 80)
    assert all(share <= 0.1 for share in shares.values()), shares
