import json
import math

import pytest

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.estimates import BORROWED, EVALUATION, LIKE, SEEDS
from rlhf.compare.statistics.settings import group
from rlhf.compare.statistics.verdict import judge
from rlhf.metrics import Z95

# studentized range of 3 means: 97.5 % at 6 degrees of freedom, 95 % at 3 (tables)
RANGE_3_6, RANGE_3_3 = 5.158, 5.910


def _settings(rundirs, directory, golds, **more):
    for coef, values in golds.items():
        for seed, gold in enumerate(values):
            name = f"{coef}-{seed}"
            rundirs.make_run(directory / name, coef=coef, seed=seed, gold=gold, **more)
    return group(load(directory))


def test_best_of_k_by_hand(rundirs, tmp_path):
    """Each of three settings has variance 0.01 over three seeds: pooled 0.01 at 6 degrees of
    freedom (a pair's own has the same at 4, and is wider), half width 5.158 / sqrt(2) x sqrt(0.01 x
    2/3) = 0.2978."""
    settings = _settings(
        rundirs, tmp_path, {0.1: (1.9, 2.0, 2.1), 0.2: (2.3, 2.4, 2.5), 0.3: (0.9, 1.0, 1.1)}
    )
    verdict = judge(settings)
    assert (verdict.key, verdict.leader.label, verdict.claim) == (
        "reward/gold",
        "kl.coef=0.2",
        "best",
    )
    assert [m.setting.label for m in verdict.margins] == ["kl.coef=0.1", "kl.coef=0.3"]
    first = verdict.margins[0].difference
    half = RANGE_3_6 / math.sqrt(2) * math.sqrt(0.01 * 2 / 3)
    assert (first.mean, first.half) == pytest.approx((0.4, half), abs=1e-4)
    assert (first.source, first.n, verdict.margins[0].like) == (SEEDS, 3, None)
    assert verdict.tied == ()


def test_best_of_k_pools_where_two_runs_tell_too_little(rundirs, tmp_path):
    """Variances 0.02, 0.02 and 0.08 over two seeds: pooled 0.04, and Welch's degrees of freedom of
    the sum 1 / ((1/6)^2/3 + (1/6)^2/3 + (2/3)^2/3) - 2 = 4 are capped at 3."""
    settings = _settings(rundirs, tmp_path, {0.1: (1.9, 2.1), 0.2: (4.9, 5.1), 0.3: (0.8, 1.2)})
    first = judge(settings).margins[0].difference
    assert first.half == pytest.approx(RANGE_3_3 / math.sqrt(2) * 0.2, abs=1e-3)


def test_best_of_k_a_setting_that_varies_much_hides_no_other(rundirs, tmp_path):
    """0.5 between two settings that vary by 0.1, beside one that varies by 3."""
    settings = _settings(
        rundirs, tmp_path, {0.1: (1.9, 2.0, 2.1), 0.2: (2.4, 2.5, 2.6), 0.0: (-6.0, -3.0, 0.0)}
    )
    verdict = judge(settings)
    assert [s.label for s in verdict.tied] == ["kl.coef=0"]
    assert verdict.margins[0].apart


def test_best_of_k_is_not_claimed_where_one_other_is_near(rundirs, tmp_path):
    """0.2 more than the next, half width 0.30; 1.3 more than the last."""
    settings = _settings(
        rundirs, tmp_path, {0.1: (2.1, 2.2, 2.3), 0.2: (2.3, 2.4, 2.5), 0.3: (1.0, 1.1, 1.2)}
    )
    verdict = judge(settings)
    assert verdict.claim == "tied" and [s.label for s in verdict.tied] == ["kl.coef=0.1"]


def test_one_seed_a_setting_is_an_order(rundirs, tmp_path):
    """Evaluations with se 0.1 each: 3.314 x 0.1 for three at once."""
    settings = _settings(rundirs, tmp_path, {0.1: (1.0,), 0.2: (9.0,), 0.3: (8.9,)})
    verdict = judge(settings)
    assert (verdict.claim, verdict.leader.label) == ("order", "kl.coef=0.2")
    assert [s.label for s in verdict.tied] == ["kl.coef=0.3"]
    margin = verdict.margins[0].difference
    assert margin.source == EVALUATION and margin.half == pytest.approx(0.3314, abs=1e-4)


def test_a_leader_of_one_seed_is_no_winner(rundirs, tmp_path):
    settings = _settings(rundirs, tmp_path, {0.1: (1.0, 1.1, 1.2), 0.2: (9.0,)})
    verdict = judge(settings)
    assert verdict.claim == "order" and verdict.margins[0].difference.source == BORROWED
    settings = _settings(rundirs, tmp_path / "other", {0.1: (9.0, 9.1, 9.2), 0.2: (1.0,)})
    assert judge(settings).claim == "best"


def test_alone_and_nothing(rundirs, tmp_path):
    settings = _settings(rundirs, tmp_path, {0.1: (1.0, 1.1)})
    verdict = judge(settings)
    assert (verdict.claim, verdict.margins) == ("alone", ())
    assert judge([]) is None
    _settings(rundirs, tmp_path / "lost", {0.1: ("nan",)}, proxy="nan")
    assert judge(group(load(tmp_path / "lost"))) is None


def test_two_single_runs_are_compared_prompt_by_prompt(rundirs, tmp_path):
    """Prompts 0, 10, 20 against 1, 11, 23: differences 1, 1, 3 of mean 5/3, variance 4/3, t_2; by
    the evaluations alone it would be 1.96 x sqrt(2) x 5."""
    ends = {0.1: (0, 10, 20), 0.2: (1, 11, 23)}
    _settings(rundirs, tmp_path, {c: (sum(e) / 3,) for c, e in ends.items()}, se=5.0)
    assert judge(group(load(tmp_path))).margins[0].difference.half == pytest.approx(
        Z95 * 5 * math.sqrt(2)
    )
    for coef, end in ends.items():
        row = {"iteration": 3, "prompts": "p", "responses": [1, 1, 1], "reward/gold": end}
        (tmp_path / f"{coef}-0" / "by_prompt.jsonl").write_text(json.dumps(row) + "\n")
    margin = judge(group(load(tmp_path))).margins[0]
    assert margin.difference.half == pytest.approx(4.302653 * math.sqrt(4 / 3 / 3))
    assert margin.difference == margin.like and margin.like.prompts == LIKE


def test_a_margin_at_prompts_like_these_by_hand(rundirs, tmp_path):
    """Runs 1, 2, 6 and 3, 2, 10 (see test_intervals) against 0, 0, 0 and 1, 1, 1: means 4 and 1/2.

    Seeds: 2 / 2 + 1/2 / 2 = 5/4, Welch's degrees of freedom 3 / (0.8^2 + 0.2^2) - 2, capped at 2.
    Prompts: the differences 3/2, 3/2, 15/2 vary by 12, over 3 prompts 4, less 1/3 of single runs.
    Both quantiles are t_2.
    """
    ends = {0.1: ((1, 2, 6), (3, 2, 10)), 0.2: ((0, 0, 0), (1, 1, 1))}
    _settings(rundirs, tmp_path, {c: [sum(e) / 3 for e in runs] for c, runs in ends.items()})
    for coef, runs in ends.items():
        for seed, end in enumerate(runs):
            row = {"iteration": 3, "prompts": "p", "responses": [1, 1, 1], "reward/gold": end}
            (tmp_path / f"{coef}-{seed}" / "by_prompt.jsonl").write_text(json.dumps(row) + "\n")
    (margin,) = judge(group(load(tmp_path))).margins
    assert margin.difference.mean == pytest.approx(3.5)
    assert margin.difference.half == pytest.approx(4.302653 * math.sqrt(5 / 4))
    assert margin.like.half == pytest.approx(4.302653 * math.sqrt(5 / 4 + 11 / 3))
    assert (margin.like.source, margin.like.prompts) == (SEEDS, LIKE)


def test_without_gold_the_reward_that_ppo_maximised_decides(rundirs, tmp_path):
    """Not proxy, which a reward model has that only the values began with."""
    scorer = {"scorer": {"_target_": "rlhf.rewards.rules.VaderScorer"}}
    for coef, mood, proxy in ((0.1, 0.2, 3.0), (0.2, 0.8, 1.0)):
        run = rundirs.make_run(
            tmp_path / f"{coef}", coef=coef, gold=None, proxy=proxy, config=scorer
        )
        path = run / "summary.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "reward/vader": mood}))
    verdict = judge(group(load(tmp_path)))
    assert (verdict.key, verdict.leader.label) == ("reward/vader", "kl.coef=0.2")
