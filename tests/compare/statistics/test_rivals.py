import json
import math

import pytest

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.rivals import rival
from rlhf.compare.statistics.settings import group


def test_frontier_claim_the_rival_at_the_bests_own_kl(gamed):
    """The best ends at 6 nats with 2.4; on its way to 20 nats, coef 0 passes 6 between its peaks
    of 2.3."""
    settings = group(load(gamed))
    found = rival(settings[1], settings, "reward/gold")
    assert (found.setting.label, found.kl, found.at_best_end) == ("kl.coef=0", 6.0, True)
    assert (found.ours.mean, found.theirs.mean, found.difference.mean) == pytest.approx(
        (2.4, 2.3, 0.1)
    )


def test_where_nobody_else_came_the_runner_up_is_the_measure(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "far", coef=0.0, gold=3.0, kl=20.0, iterations=4)
    rundirs.make_run(tmp_path / "near", coef=0.1, gold=2.5, kl=5.0, iterations=4)
    settings = group(load(tmp_path))
    found = rival(settings[0], settings, "reward/gold")
    assert (found.setting.label, found.kl, found.at_best_end) == ("kl.coef=0.1", 5.0, False)
    assert (found.ours.mean, found.theirs.mean) == pytest.approx((1.5, 2.5))
    assert rival(settings[0], settings[:1], "reward/gold") is None


def test_runs_on_one_concave_curve_do_not_differ_though_ends_lie_apart(rundirs, tmp_path):
    """Gold is sqrt(KL) for all. Ends at 4, 9, 25: mean gold 10/3, at a mean KL of 38/3 where the
    other has 3.56."""
    for seed, end in enumerate((4, 9, 25)):
        _sqrt(rundirs, tmp_path / f"a{seed}", [end * i / 8 for i in range(9)], 0.1, seed)
        _sqrt(rundirs, tmp_path / f"b{seed}", [0, 1, 2, 4, 6, 9, 16, 25, 36], 0.2, seed)
    settings = group(load(tmp_path))
    found = rival(settings[0], settings, "reward/gold")
    assert found.ours.mean == pytest.approx(10 / 3) and found.theirs.mean == pytest.approx(10 / 3)
    assert found.difference.mean == pytest.approx(0.0, abs=1e-12) and (
        found.matched,
        found.reached,
    ) == (3, 3)
    # the ends' own spread along the curve is no noise of the comparison
    assert found.ours.high - found.ours.low < 0.4


def _sqrt(rundirs, directory, kls, coef, seed):
    run = rundirs.make_run(
        directory,
        coef=coef,
        seed=seed,
        gold=math.sqrt(kls[-1]),
        kl=kls[-1],
        iterations=len(kls) - 1,
        se=0.01,
    )
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (run / "metrics.jsonl").unlink()
    seen = ({"eval/kl/sequence_nats": kl, "eval/reward/gold": math.sqrt(kl)} for kl in kls)
    rundirs.append(run / "metrics.jsonl", *(row | new for row, new in zip(rows, seen, strict=True)))


def test_two_seeds_come_before_one(rundirs, tmp_path):
    for seed in range(2):
        rundirs.make_run(tmp_path / f"best{seed}", coef=0.0, seed=seed, gold=4.0, kl=5.0)
        rundirs.make_run(tmp_path / f"two{seed}", coef=0.1, seed=seed, gold=2.0, kl=5.0)
        rundirs.make_run(
            tmp_path / f"one{seed}", coef=0.2, seed=seed, gold=3.0, kl=2.0 if seed else 5.0
        )
    settings = group(load(tmp_path))
    found = rival(settings[0], settings, "reward/gold")
    assert (found.setting.label, found.reached, found.runs) == ("kl.coef=0.1", 2, 2)
