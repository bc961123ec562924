import math

import pytest

from rlhf.compare.choice.differences import less
from rlhf.compare.statistics.estimates import critical
from rlhf.metrics import GOLD, Z95
from tests.compare.made import make_path


def _pair(every, *coefs):
    return [next(c for c in every if c.label.endswith(f"kl.coef={coef}")) for coef in coefs]


def test_points_of_one_path_are_held_against_each_other_path_by_path(rundirs, tmp_path, there):
    """Gold 1.5 and 2.7 less 1.0 and 2.0: 0.5 and 0.7, mean 0.6, error 0.1, t of 1 degree 12.7. Over
    seeds taken as independent the error would be 0.78."""
    for seed, (first, last) in enumerate(((1.0, 1.5), (2.0, 2.7))):
        ends = {0.5: (1.0, 1.0, first), 0.1: (4.0, 2.0, last)}
        make_path(rundirs, tmp_path / f"p{seed}", ends, seed=seed)
    _, every = there(tmp_path)
    a, b = _pair(every, 0.1, 0.5)
    gap = less(a, b, GOLD)
    assert (gap.mean, gap.error) == (pytest.approx(0.6), pytest.approx(0.1))
    assert gap.interval.half == pytest.approx(critical(1) * 0.1)
    assert gap.interval.source == "seeds" and gap.interval.n == 2


def test_independent_runs_are_not_paired(rundirs, tmp_path, there):
    """Welch: sqrt(0.5 / 2 + 0.5 / 2) of 1, 2 and 3, 4, whose variance is 0.5 each."""
    for coef, golds in ((0.1, (3.0, 4.0)), (0.5, (1.0, 2.0))):
        for seed, gold in enumerate(golds):
            rundirs.make_run(tmp_path / f"c{coef}-{seed}", coef=coef, seed=seed, gold=gold)
    _, every = there(tmp_path)
    gap = less(*_pair(every, 0.1, 0.5), GOLD)
    assert (gap.mean, gap.error) == (pytest.approx(2.0), pytest.approx(math.sqrt(0.5)))


def test_one_seed_each_prompt_by_prompt_where_both_kept_them(rundirs, tmp_path, there):
    """Differences 1, 1, 1, 2 at four prompts: mean 1.25, error 0.5 / sqrt(4) = 0.25."""
    for coef, golds in ((0.1, [2.0, 3.0, 4.0, 6.0]), (0.5, [1.0, 2.0, 3.0, 4.0])):
        mean = sum(golds) / 4
        run = rundirs.make_run(tmp_path / f"c{coef}", coef=coef, gold=mean)
        row = {"prompts": "abc", "responses": [1, 1, 1, 1], GOLD: golds}
        rundirs.append(run / "by_prompt.jsonl", {"iteration": 0, **row}, {"iteration": 3, **row})
    _, every = there(tmp_path)
    gap = less(*_pair(every, 0.1, 0.5), GOLD)
    assert (gap.mean, gap.error) == (pytest.approx(1.25), pytest.approx(0.25))
    assert gap.interval.half == pytest.approx(critical(3) * 0.25)


def test_one_seed_each_by_their_evaluations(rundirs, tmp_path, there):
    for coef, gold in ((0.1, 2.0), (0.5, 1.0)):
        rundirs.make_run(tmp_path / f"c{coef}", coef=coef, gold=gold)
    _, every = there(tmp_path)
    gap = less(*_pair(every, 0.1, 0.5), GOLD)
    assert gap.error == pytest.approx(math.hypot(0.1, 0.1))
    assert gap.interval.half == pytest.approx(Z95 * gap.error)
