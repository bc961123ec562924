"""Each rule by hand. A run's KL and gold have an error of 0.1, a 95 % interval of ± 0.196."""

import math

import pytest

from rlhf.compare.choice.criteria import (
    NoChoice,
    at_kl,
    at_knee,
    at_most,
    before_fall,
    deciding,
    gold_key,
    off,
)
from rlhf.metrics import GOLD, Z95
from tests.compare.made import make_path, realign

FOUR = {0.5: (1.0, 1.2), 0.2: (3.0, 2.0), 0.1: (5.0, 2.4), 0.01: (9.0, 1.0)}


def _label(candidate):
    return None if candidate is None else candidate.label


def test_the_kl_nearest_to_what_was_asked_for(runs, there):
    _, every = there(runs(FOUR))
    at_five = at_kl(every, GOLD, 5.1)
    assert (_label(at_five.chosen), _label(at_five.following)) == ("kl.coef=0.1", "kl.coef=0.2")
    assert at_five.notes == () and off(at_five.chosen, 5.1) == 0.0
    between = at_kl(every, GOLD, 4.5)  # 0.5 - 0.196 from 5, 1.5 - 0.196 from 3
    assert off(between.chosen, 4.5) == pytest.approx(0.5 - 0.1 * Z95)
    assert between.notes == ("Nothing is at 4.5 nats; the nearest is 0.3 nats away.",)
    difference = between.difference
    assert difference is not None and difference.mean == pytest.approx(0.4)
    assert difference.error == pytest.approx(math.hypot(0.1, 0.1))


def test_of_those_at_that_kl_the_most_reward_and_of_equals_the_least_kl(runs, there):
    _, every = there(runs({0.1: (5.0, 2.0), 0.2: (4.95, 2.3), 0.3: (4.9, 2.3), 0.4: (2.0, 9.0)}))
    chosen = at_kl(every, GOLD, 5.0)
    assert (_label(chosen.chosen), _label(chosen.following)) == ("kl.coef=0.3", "kl.coef=0.2")


def test_a_wide_interval_does_not_bring_a_far_kl_near(rundirs, tmp_path, there):
    """Two seeds at 2 and 12 nats: 7 ± 64 holds 5, but 7 is over a fifth of 5 away."""
    for seed, kl in ((0, 2.0), (1, 12.0)):
        rundirs.make_run(tmp_path / f"wide{seed}", coef=0.01, seed=seed, kl=kl, gold=5.0)
    rundirs.make_run(tmp_path / "near", coef=0.1, kl=5.5, gold=1.0)
    _, every = there(tmp_path)
    wide = next(c for c in every if c.label == "kl.coef=0.01")
    assert wide.interval("kl/sequence_nats").low == 0.0 and off(wide, 5.0) == pytest.approx(1.0)
    assert _label(at_kl(every, GOLD, 5.0).chosen) == "kl.coef=0.1"


def test_the_most_gold_below_a_kl(runs, there):
    _, every = there(runs(FOUR))
    choice = at_most(every, GOLD, 4.0)
    assert (_label(choice.chosen), _label(choice.following)) == ("kl.coef=0.2", "kl.coef=0.5")
    assert choice.difference.mean == pytest.approx(0.8) and choice.notes == ()
    edge = at_most(every, GOLD, 5.1)
    assert edge.notes == ("Its KL may be above 5.1 nats: the interval reaches to 5.2.",)
    alone = at_most(every, GOLD, 1.5)
    assert alone.following is None and alone.difference is None
    with pytest.raises(NoChoice, match=r"at most 0.5 nats; the least is 1 \(kl.coef=0.5\)"):
        at_most(every, GOLD, 0.5)


def test_the_furthest_before_gold_falls(runs, there):
    """Gold 2.3 at 6 nats is 0.1 below the most, an error of 0.141: within. 2.2 at 7 is not."""
    _, every = there(runs(FOUR | {0.05: (6.0, 2.3), 0.03: (7.0, 2.2)}))
    choice = before_fall(every, GOLD)
    assert (_label(choice.chosen), _label(choice.following)) == ("kl.coef=0.05", "kl.coef=0.1")
    assert choice.notes == (
        "Further out the most is kl.coef=0.03 at 7 nats, 0.2 less than kl.coef=0.1: more than the"
        " error, but not clear at 95 %.",
    )


def test_a_fall_that_was_not_seen_and_one_that_is_clear(runs, there):
    _, every = there(runs({0.5: (1.0, 1.2), 0.2: (3.0, 2.0)}))
    choice = before_fall(every, GOLD)
    assert (_label(choice.chosen), _label(choice.following)) == ("kl.coef=0.2", "kl.coef=0.5")
    assert choice.notes == ("Nothing is further out: that gold reward falls was not seen.",)
    _, every = there(runs({0.01: (9.0, 1.0)}))
    assert before_fall(every, GOLD).notes[0].endswith("1 less than kl.coef=0.2: clear at 95 %.")


def test_a_dip_on_the_way_is_no_fall(runs, there):
    """A policy that is off the frontier at 4 nats hides none behind it."""
    _, every = there(runs({0.2: (3.0, 2.0), 0.15: (4.0, 0.5), 0.1: (5.0, 1.95)}))
    assert _label(before_fall(every, GOLD).chosen) == "kl.coef=0.1"


def test_the_knee_and_its_interval(runs, there):
    """SFT has gold 1. To 5 nats and 2.4: 0.2 at x = 0.6 is 5/7 high, 0.114 above the chord; 0.5 at
    x = 0.2 is 1/7 high and below it. 9 nats have less."""
    whole, every = there(runs(FOUR))
    choice = at_knee(whole, every, GOLD)
    assert (_label(choice.chosen), _label(choice.following)) == ("kl.coef=0.2", "kl.coef=0.1")
    bend = choice.knee
    assert bend.above[bend.at] == pytest.approx(1 / 1.4 - 0.6)
    assert [round(y, 6) for y in bend.above[:1]] == [pytest.approx(0.2 / 1.4 - 0.2, abs=1e-6)]
    assert math.isnan(bend.above[3]) and 0.8 < bend.share <= 1.0
    assert bend.low < 3.0 < bend.high and bend.over == "the evaluations' errors"


def test_no_knee_where_nothing_is_above_sft(runs, there):
    whole, every = there(runs({0.5: (1.0, 0.5), 0.2: (3.0, 0.2)}))
    with pytest.raises(NoChoice, match="no policy has more gold reward than SFT"):
        at_knee(whole, every, GOLD)


def test_a_straight_frontier_ends_at_its_end(runs, there):
    whole, every = there(runs({0.5: (2.0, 1.2), 0.2: (4.0, 2.0)}))
    choice = at_knee(whole, every, GOLD)
    assert _label(choice.chosen) == "kl.coef=0.2"
    assert choice.notes == ("The frontier is no curve that flattens: this is its end, not a bend.",)


def test_gold_that_was_not_measured(rundirs, tmp_path, there):
    for coef, kl, proxy in ((0.1, 5.0, 2.0), (0.5, 1.0, 1.0)):
        rundirs.make_run(tmp_path / f"c{coef}", coef=coef, kl=kl, proxy=proxy, gold=None)
    whole, every = there(tmp_path)
    assert deciding(whole, every, None) == "reward/proxy"
    with pytest.raises(NoChoice, match="no gold reward was measured; --reward proxy chooses"):
        gold_key(whole, every, None, "--gold-at-most-kl")
    assert gold_key(whole, every, "proxy", "--gold-at-most-kl") == "reward/proxy"
    with pytest.raises(NoChoice, match=r"--reward judge: there is no such reward here \(proxy\)"):
        deciding(whole, every, "judge")


def test_policies_of_paths_and_of_realignment_are_chosen_like_runs(rundirs, tmp_path, there):
    """lambda 0 and 1 are SFT and the run itself, and no candidates of their own."""
    ends = {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5)}
    make_path(rundirs, tmp_path / "p", ends)
    run = rundirs.make_run(tmp_path / "f", coef=0.1, kl=6.0, gold=1.3)
    stops = {0.0: (0.0, 0.0, 1.0), 0.5: (2.0, 0.8, 1.7), 1.0: (6.0, 1.0, 1.3)}
    realign(run, {"decoding": stops}, seconds=6.0)
    _, every = there(tmp_path)
    assert [(c.kind, c.label) for c in every] == [
        ("path point", "kl.controller=path kl.coef=0.5"),
        ("realigned", "kl.controller=fixed kl.coef=0.1, λ 0.5 while decoding"),
        ("path point", "kl.controller=path kl.coef=0.1"),
        ("run", "kl.controller=fixed kl.coef=0.1"),
    ]
    choice = at_most(every, GOLD, 3.0)
    assert choice.chosen.share == 0.5 and choice.chosen.curve_seconds == 6.0
    assert choice.chosen.interval(GOLD).half == pytest.approx(0.1 * Z95)


def test_responses_that_never_end_are_not_chosen(rundirs, tmp_path, there):
    from rlhf.compare.choice.candidates import left_out
    from tests.compare.made import edit

    rundirs.make_run(tmp_path / "a", coef=0.1, gold=1.2)
    endless = rundirs.make_run(tmp_path / "b", coef=0.2, gold=3.0)
    rundirs.append(
        endless / "metrics.jsonl",
        {"iteration": 4, "eval/response/ended": 1.0},
        {"iteration": 5, "eval/response/ended": 0.0},
    )
    run = rundirs.make_run(tmp_path / "c", coef=0.3, gold=1.3)
    realign(run, {"weights": {0.0: (0.0, 0.0, 1.0), 2.0: (9.0, 5.0, 5.0)}})
    import json

    made = json.loads((run / "realign.json").read_text())
    made["curves"][0]["points"][1]["response/ended"] = 0.1
    edit(run / "realign.json", **made)
    rundirs.make_run(tmp_path / "d", coef=0.4, state="failed")
    whole, every = there(tmp_path)
    assert {c.label for c in every} == {"kl.coef=0.1", "kl.coef=0.3"}
    assert left_out(whole) == [
        "kl.coef=0.2: left out, the responses never end.",
        "d: left out, it is failed.",
    ]
