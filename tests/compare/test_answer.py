import math

import pytest

from rlhf.compare.answer import answer, duration, say
from rlhf.compare.findings import find
from rlhf.compare.intervals import Interval
from rlhf.compare.load import load
from rlhf.compare.settings import group


def _answer(directory):
    runs = load(directory)
    settings = group(runs)
    return answer(find(settings), settings, runs)


def test_one_seed_says_so(gamed):
    said = _answer(gamed)
    assert said.headline.startswith(
        "kl.coef=0.05 is best by gold reward at matched KL: 2.40 (2.20 to 2.60) at 6 nats; the next there is kl.coef=0"
    )
    assert "within the noise" in said.headline
    assert "Each is of one seed" in said.confidence
    assert said.cost == "It cost 6.00 (5.80 to 6.20) nats of KL a response and 12 s a run; all 3 runs of the sweep together took 38 s."


def test_seeds_bring_a_bootstrap(rundirs, tmp_path):
    for seed in range(3):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=2.0 + seed / 10)
        rundirs.make_run(tmp_path / f"b{seed}", coef=0.2, seed=seed, gold=1.0 + seed / 10)
    said = _answer(tmp_path)
    assert "bootstrap over 3 seeds" in said.confidence and "too sure of itself" in said.confidence
    assert "is clear of zero" in said.headline


def test_stopping_another_early_would_have_been_better(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "far", coef=0.0, gold=1.0, kl=20.0, iterations=4, peak=9.0)
    rundirs.make_run(tmp_path / "near", coef=0.1, gold=2.0, kl=6.0, iterations=4)
    said = _answer(tmp_path).headline
    assert "kl.coef=0.1 ends with the highest gold reward" in said
    assert "at that KL kl.coef=0 had more, 9.00" in said


def test_alone_at_its_kl(rundirs, tmp_path):
    rundirs.make_run(tmp_path / "far", coef=0.0, gold=3.0, kl=20.0, iterations=4)
    rundirs.make_run(tmp_path / "near", coef=0.1, gold=2.5, kl=5.0, iterations=4)
    said = _answer(tmp_path).headline
    assert "where no other setting came; at the 5 nats of the next, kl.coef=0.1, it had 1.50" in said
    assert "-1.00 (-1.28 to -0.72), clear of zero: with no more KL than that, kl.coef=0.1 is better." in said
    (tmp_path / "near" / "summary.json").unlink()
    assert "No other setting can be held against it" in _answer(tmp_path).headline


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (1.2345, 1.1, 1.37, "1.23 (1.10 to 1.37)"),
        (0.001, -0.12, 0.12, "0.00 (-0.12 to 0.12)"),
        (1.98945, 1.98906, 1.98985, "1.989 (1.989 to 1.990)"),
        (150.7, 148.5, 152.9, "150.7 (148.5 to 152.9)"),
        (2.0, 2.0, 2.0, "2"),
        (2.0, math.nan, math.nan, "2"),
        (math.nan, math.nan, math.nan, "-"),
    ],
)
def test_numbers_as_they_are_written(mean, low, high, text):
    assert say(Interval(mean, low, high, 1, "")) == text


def test_durations():
    assert [duration(s) for s in (7.4, 200, 7500)] == ["7 s", "3 min 20 s", "2 h 05 min"]


def test_one_seed_against_several_and_noise_that_is_not_known(rundirs, tmp_path):
    for seed, gold in enumerate((2.0, 2.5, 1.4)):
        rundirs.make_run(tmp_path / f"a{seed}", coef=0.1, seed=seed, gold=gold, se=0.05)
    rundirs.make_run(tmp_path / "b", coef=0.2, gold=1.7, se=0.05)
    said = _answer(tmp_path)
    assert said.headline.endswith("is within the noise.")
    assert "bootstrap over 3 seeds" in said.confidence and "where there is one seed" in said.confidence
    assert "adds the two in quadrature" in said.confidence
    for name in ("summary.json", "metrics.jsonl"):  # the noise of the single run is lost
        path = tmp_path / "b" / name
        path.write_text(path.read_text().replace("gold_se", "gold_lost"))
    said = _answer(tmp_path)
    assert said.headline.endswith("is not known to be more than noise.")
    assert "the noise of a single seed was not measured" in said.confidence and "quadrature" not in said.confidence
