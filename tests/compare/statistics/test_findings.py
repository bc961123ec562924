import json
import math

import pytest

from rlhf.compare.read.runs import load, load_run
from rlhf.compare.statistics.findings import fallen, find, gap
from rlhf.compare.statistics.means import single
from rlhf.compare.statistics.settings import group
from rlhf.compare.text.answer import over_optimisation


def test_the_best_by_gold_and_the_gamed_one(gamed):
    found = find(group(load(gamed)))
    assert (found.key, found.best.label) == ("reward/gold", "kl.coef=0.05")
    half = 1.959964 * math.hypot(0.1, 0.1)
    assert (found.gain.mean, found.gain.half) == pytest.approx((1.4, half))
    assert found.gamed.label == "kl.coef=0"
    # three settings at once: the studentized range of 3 means is 3.314
    assert found.drop.mean == pytest.approx(1.2)
    assert found.drop.half == pytest.approx(3.314 * 0.1, abs=1e-4)
    assert found.clear
    assert (found.fall.iteration, found.fall.kl, found.fall.best.mean, found.fall.last.mean) == (
        1,
        5.0,
        2.3,
        1.2,
    )
    text = over_optimisation(found)
    assert "Over-optimisation: kl.coef=0 has the highest proxy reward, 5.00 ± 0.20" in text
    assert "1.20 (0.87 to 1.53) less gold reward than kl.coef=0.05; each has one run" in text
    assert "gold reward was 2.30 ± 0.20 at iteration 1 (5 nats) and ended at 1.20 ± 0.20" in text


def test_a_difference_within_the_noise_is_called_that(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold=1.9)
    rundirs.make_run(tmp_path / "b", coef=0.1, proxy=2.0, gold=2.0)
    found = find(group(load(tmp_path)))
    assert not found.clear
    assert "Perhaps over-optimisation" in over_optimisation(found)


def test_no_gaming(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold=3.0)
    rundirs.make_run(tmp_path / "b", coef=0.1, proxy=2.0, gold=2.0)
    found = find(group(load(tmp_path)))
    assert found.gamed is None
    assert found.fall is None
    assert "highest gold reward too" in over_optimisation(found)


def test_a_fall_needs_proxy_to_hold(rundirs, tmp_path):
    assert fallen(load_run(rundirs.make_run(tmp_path / "both", proxy=-3.0, gold=-1.0)), "") is None
    assert fallen(load_run(rundirs.make_run(tmp_path / "up", proxy=3.0, gold=2.0)), "") is None
    assert fallen(load_run(rundirs.make_run(tmp_path / "none", gold=None)), "") is None


def test_without_gold_proxy_decides_and_says_less(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold=None)
    rundirs.make_run(tmp_path / "b", coef=0.1, proxy=2.0, gold=None)
    found = find(group(load(tmp_path)))
    assert (found.key, found.best.label) == ("reward/proxy", "kl.coef=0")
    assert "over-optimisation cannot be seen" in over_optimisation(found)


def test_nothing_finite(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", proxy="nan", gold="inf", kl="nan")
    assert find(group(load(tmp_path))) is None


def test_one_setting_lost_and_one_not(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy="inf", gold="nan", kl="nan")
    run = rundirs.make_run(tmp_path / "b", coef=0.1, kl="nan")
    summary = json.loads((run / "summary.json").read_text())
    rundirs.write(
        run / "summary.json", {k: v for k, v in summary.items() if not k.startswith("sft/")}
    )
    found = find(group(load(tmp_path)))
    assert found.best.label == "kl.coef=0.1"
    assert math.isnan(found.gain.mean)


def test_gold_that_is_lost_where_proxy_is_highest_says_nothing(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "a", coef=0.0, proxy=3.0, gold="nan")
    rundirs.make_run(tmp_path / "b", coef=0.1, proxy=2.0, gold=2.0)
    found = find(group(load(tmp_path)))
    assert found.gamed is None and math.isnan(found.drop.mean)
    assert (
        over_optimisation(found)
        == "kl.coef=0 has the highest proxy reward and no finite gold reward, so"
        " over-optimisation cannot be seen."
    )


def test_gap_by_hand():
    # (3 - 1) / sqrt(0.3^2 + 0.4^2) = 2 / 0.5
    assert gap(single(3.0, 0.3), single(1.0, 0.4)) == pytest.approx(4.0)
    assert gap(single(1.0, 0.3), single(3.0, 0.4)) == pytest.approx(-4.0)
    assert gap(single(1.0, 0.0), single(1.0, 0.0)) == 0.0
    assert gap(single(2.0, 0.0), single(1.0, 0.0)) == math.inf
    assert math.isnan(gap(single(math.nan, 0.1), single(1.0, 0.1)))
    assert math.isnan(gap(single(1.0, math.nan), single(1.0, 0.1)))
