"""Two runs at three prompts, by hand.

Run 0: 1, 2, 6; run 1: 3, 2, 10. Means 3 and 5, of prompts 2, 2, 8, of all 4.
V_R = var(3, 5) / 2 = 1. V_P = var(2, 2, 8) / 3 = 12 / 3 = 4. What is left of run 0 is 0, 1, -1 and
of run 1 the opposite: V_RP = 4 / ((2 - 1)(3 - 1)) / (2 x 3) = 1/3. V_C = 11/3.
"""

import json
import math

import pytest

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.estimates import EVALUATION, LIKE, SEEDS, THESE
from rlhf.compare.statistics.intervals import (
    answers,
    gain,
    prompt_variance,
    setting_interval,
    sft_interval,
)
from rlhf.compare.statistics.settings import group

GOLD = "reward/gold"
T1, T2 = 12.706205, 4.302653


def _by_prompt(run, end, *, start=(1.0, 1.0, 1.0), prompts="abc", responses=(1, 1, 1)):
    same = {"prompts": prompts, "responses": list(responses)}
    rows = [(0, start), (3, end)]
    lines = [{"iteration": i, **same, GOLD: list(gold)} for i, gold in rows]
    (run / "by_prompt.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _two(rundirs, directory, *, coef=0.1, lift=0.0):
    for seed, (mean, end) in enumerate(((3.0, (1, 2, 6)), (5.0, (3, 2, 10)))):
        run = rundirs.make_run(directory / f"{coef}-{seed}", coef=coef, seed=seed, gold=mean + lift)
        _by_prompt(run, [x + lift for x in end])


def test_prompts_and_seeds_by_hand(rundirs, tmp_path):
    _two(rundirs, tmp_path)
    (setting,) = group(load(tmp_path))
    assert prompt_variance([answers(setting.runs, GOLD)]) == pytest.approx(11 / 3)
    like, these = (setting_interval(setting, GOLD, prompts) for prompts in (LIKE, THESE))
    half = (1 * T1 + 11 / 3 * T2) / math.sqrt(1 + 11 / 3)
    assert (like.mean, like.half, like.n) == pytest.approx((4.0, half, 2))
    assert (like.source, like.prompts) == (SEEDS, LIKE)
    assert (these.half, these.prompts) == (pytest.approx(T1), THESE)


def test_a_prompt_asked_twice_weighs_twice(rundirs, tmp_path):
    """Weights 1/2, 1/4, 1/4; one run of 1, 2, 6 has mean 2.5 and sum w^2 (x - 2.5)^2 = 1/4 x 9/4 +
    1/16 x 1/4 + 1/16 x 49/4 = 43/32; times 3/2."""
    run = rundirs.make_run(tmp_path / "a", gold=2.5)
    _by_prompt(run, (1, 2, 6), responses=(2, 1, 1))
    (setting,) = group(load(tmp_path))
    like = setting_interval(setting, GOLD)
    assert like.half == pytest.approx(T2 * math.sqrt(43 / 32 * 3 / 2))
    assert (like.source, like.prompts) == (EVALUATION, LIKE)


def test_runs_without_values_by_prompt_speak_of_these_prompts(rundirs, tmp_path):
    _two(rundirs, tmp_path)
    rundirs.make_run(tmp_path / "c", coef=0.1, seed=2, gold=4.0)
    (setting,) = group(load(tmp_path))
    assert setting_interval(setting, GOLD).prompts == THESE
    _by_prompt(tmp_path / "c", (1, 2, 9), prompts="other")
    (setting,) = group(load(tmp_path))
    assert answers(setting.runs, GOLD) is None and answers(setting.runs, "reward/judge") is None
    _by_prompt(tmp_path / "c", (1, "nan", 9))
    (setting,) = group(load(tmp_path))
    assert answers(setting.runs, GOLD) is None


def test_one_run_against_sft_prompt_by_prompt(rundirs, tmp_path):
    """End 1, 2, 6 against 0, 1, 5 at the start: every prompt gained 1, without spread; against
    0, 1, 3 the gains are 1, 1, 3, variance 4/3."""
    run = rundirs.make_run(tmp_path / "a", gold=3.0)
    _by_prompt(run, (1, 2, 6), start=(0, 1, 3))
    (setting,) = group(load(tmp_path))
    over = gain(setting, GOLD)
    assert (over.mean, over.half) == pytest.approx((2.0, T2 * math.sqrt(4 / 3 / 3)))
    assert sft_interval(setting, GOLD).half == pytest.approx(T2 * math.sqrt(7 / 3 / 3))


def test_several_runs_against_sft_are_a_matter_of_seeds(rundirs, tmp_path):
    _two(rundirs, tmp_path)
    (setting,) = group(load(tmp_path))
    over = gain(setting, GOLD)  # 2 and 4
    assert (over.mean, over.half, over.prompts) == (3.0, pytest.approx(T1), THESE)
