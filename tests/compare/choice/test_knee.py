import math

import numpy as np
import pytest

from rlhf.compare.choice.knee import furthest, heights, knee
from rlhf.compare.statistics.means import single
from rlhf.metrics import GOLD, KL


def test_heights_by_hand():
    """From (0, 0) to (4, 1): (1, 0.8) is 0.8 - 0.25 above the chord, (2, 0.9) 0.4; what has no more
    than one with less KL is off the frontier."""
    points = [(4.0, 1.0), (1.0, 0.8), (9.0, 0.5), (2.0, 0.9), (3.0, 0.9)]
    above = heights((0.0, 0.0), points)
    assert above[:2] == [0.0, pytest.approx(0.55)] and above[3] == pytest.approx(0.4)
    assert math.isnan(above[2]) and math.isnan(above[4])
    assert furthest(above, points) == 1


def test_at_a_tie_the_smaller_kl():
    """(1, 0.5) and (2, 0.75) are both 0.25 above the chord to (4, 1)."""
    points = [(2.0, 0.75), (1.0, 0.5), (4.0, 1.0)]
    above = heights((0.0, 0.0), points)
    assert above == [pytest.approx(0.25), pytest.approx(0.25), 0.0]
    assert furthest(above, points) == 1


def test_without_sft_the_chord_begins_at_the_first():
    above = heights(None, [(1.0, 0.0), (2.0, 0.9), (3.0, 1.0)])
    assert above == [0.0, pytest.approx(0.4), 0.0]


def test_nothing_is_above_sft():
    assert furthest(heights((0.0, 1.0), [(1.0, 0.5)]), [(1.0, 0.5)]) is None


def _prompts(rundirs, place, golds, kls):
    """What an evaluation keeps: SFT's numbers, then those of the end."""
    row = {"prompts": "abc", "responses": [1] * len(golds), GOLD: golds, KL: kls}
    start = {"iteration": 0, **row, GOLD: [1.0] * len(golds), KL: [0.0] * len(golds)}
    rundirs.append(place / "by_prompt.jsonl", start, {"iteration": 3, **row})


def test_the_interval_draws_the_prompts_that_all_answered(rundirs, tmp_path, there):
    """Prompts move all policies together, so they leave the knee where it is: the same shift of
    gold at every prompt. Its KL is not moved either, so the interval has no width."""
    shift = np.linspace(-1.0, 1.0, 8)
    for coef, kl, gold in ((0.5, 1.0, 1.8), (0.2, 2.0, 1.9), (0.1, 4.0, 2.0)):
        run = rundirs.make_run(tmp_path / f"c{coef}", coef=coef, kl=kl, gold=gold)
        _prompts(rundirs, run, [*(gold + shift)], [kl] * 8)
    _, every = there(tmp_path)
    bend = knee(every, GOLD, single(-5.0, 0.0))  # far below, whatever is drawn
    assert bend is not None and bend.over == "prompts"
    assert bend.at == 0 and (bend.low, bend.high, bend.share) == (1.0, 1.0, 1.0)


def test_seeds_are_drawn_too(rundirs, tmp_path, there):
    """With seed 0 the knee is at 1 nat, with seed 1 at 2: draws of two seeds have one of them twice
    in half of the cases."""
    golds = {0.5: (1.8, 1.1), 0.2: (1.85, 1.8), 0.1: (2.0, 2.0)}
    for coef, kl in ((0.5, 1.0), (0.2, 2.0), (0.1, 4.0)):
        for seed in (0, 1):
            rundirs.make_run(
                *(tmp_path / f"c{coef}-{seed}",),
                coef=coef,
                seed=seed,
                kl=kl,
                gold=golds[coef][seed],
                se=1e-6,
            )
    _, every = there(tmp_path)
    bend = knee(every, GOLD, single(1.0, 0.0))
    assert bend is not None and bend.over == "the evaluations' errors and seeds"
    assert every[bend.at].label == "kl.coef=0.2" and 0.6 < bend.share < 0.9
    assert (bend.low, bend.high) == (pytest.approx(1.0, abs=0.4), pytest.approx(2.0, abs=0.4))
