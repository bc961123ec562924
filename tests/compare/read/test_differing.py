"""What differs between runs of several algorithms, and by which names the settings go."""

import csv

import pytest

from rlhf.compare import compare
from rlhf.compare.choice.candidates import candidates
from rlhf.compare.read.runs import gather
from rlhf.compare.statistics.study import study
from rlhf.compare.text.settings import algorithms

PPO = {"_target_": "rlhf.modules.algorithms.ppo.PPOModule", "_name_": "ppo"}
RLOO = {"_target_": "rlhf.modules.algorithms.policy_gradient.PolicyGradient", "_name_": "rloo"}


@pytest.fixture
def made(rundirs, tmp_path):
    """made(name=(algorithm, coefficient, settings of ppo)) -> the study of these runs."""

    def write(**runs):
        for name, (algorithm, coef, ppo) in runs.items():
            config = {"algorithm": algorithm} if algorithm else {}
            config["ppo"] = {"iterations": 3, **ppo}
            rundirs.make_run(tmp_path / name, coef=coef, config=config)
        return study(tmp_path, gather([tmp_path]))

    return write


def labels(whole):
    """By run. `rlhf select` has the same ones."""
    of = {s.runs[0].name: s.label for s in whole.settings}
    assert sorted(c.label for c in candidates(whole)) == sorted(of.values())
    return of


def in_runs_csv(whole):
    """(algorithm, coefficient) of each run, as runs.csv has them."""
    files = compare(whole.directory / "out", runs=whole.runs, track=False).files
    rows = csv.DictReader(files["runs.csv"].open())
    return {row["name"]: (row["algorithm"], row["kl.coef"]) for row in rows}


def test_one_setting_of_each_goes_by_its_algorithm(made):
    """All that differs comes with it: said once, below the table."""
    whole = made(a=(PPO, 0.1, {"lr": 0.5}), b=(RLOO, 0.1 + 0.2, {"lr": 0.25}))
    assert labels(whole) == {"a": "algorithm=ppo", "b": "algorithm=rloo"}
    assert [s.short for s in whole.settings] == ["ppo", "rloo"]
    assert whole.brought["ppo"] == {"kl.coef": 0.1, "ppo.lr": 0.5}
    assert algorithms(whole).splitlines()[-2:] == [
        "- `ppo`: kl.coef=0.1, ppo.lr=0.5",
        "- `rloo`: kl.coef=0.3, ppo.lr=0.25",
    ]
    assert in_runs_csv(whole) == {"a": ("ppo", "0.1"), "b": ("rloo", "0.30000000000000004")}


def test_two_coefficients_of_one_and_one_of_the_other(made):
    whole = made(a=(PPO, 0.1, {}), b=(PPO, 0.2, {}), c=(RLOO, 0.1, {}))
    assert labels(whole) == {
        "a": "algorithm=ppo kl.coef=0.1",
        "b": "algorithm=ppo kl.coef=0.2",
        "c": "algorithm=rloo",
    }
    assert whole.brought == {"rloo": {"kl.coef": 0.1}}
    assert in_runs_csv(whole) == {"a": ("ppo", "0.1"), "b": ("ppo", "0.2"), "c": ("rloo", "0.1")}


def test_a_key_that_differs_within_one_algorithm(made):
    """It tells that one's settings apart; the coefficient, the same in all, differs nowhere and is
    in runs.csv all the same."""
    whole = made(a=(PPO, 0.1, {"epochs": 1}), b=(PPO, 0.1, {"epochs": 4}), c=(RLOO, 0.1, {}))
    assert labels(whole) == {
        "a": "algorithm=ppo ppo.epochs=1",
        "b": "algorithm=ppo ppo.epochs=4",
        "c": "algorithm=rloo",
    }
    assert "kl.coef" not in whole.differing
    assert {coef for _, coef in in_runs_csv(whole).values()} == {"0.1"}
    # rloo has no such key: nothing to say of it
    assert whole.brought == {"rloo": {"ppo.epochs": "-"}} and algorithms(whole) == ""


def test_an_algorithms_own_settings(made):
    none, clipped = ({**RLOO, "ratio": ratio} for ratio in ("none", "clipped"))
    assert labels(made(a=(none, 0.1, {}), b=(clipped, 0.1, {}), c=(PPO, 0.1, {}))) == {
        "a": "algorithm=rloo algorithm.ratio=none",
        "b": "algorithm=rloo algorithm.ratio=clipped",
        "c": "algorithm=ppo",
    }


def test_an_algorithm_of_ones_own_and_a_run_of_before_there_were_several(made):
    """The one goes by its class, the other is PPO."""
    own = {"_target_": "mine.Better"}
    whole = made(a=(None, 0.1, {}), b=(own, 0.1, {}), c=(own, 0.2, {}))
    assert labels(whole) == {
        "a": "algorithm=ppo",
        "b": "algorithm=mine.Better kl.coef=0.1",
        "c": "algorithm=mine.Better kl.coef=0.2",
    }
    assert in_runs_csv(whole)["a"] == ("ppo", "0.1")


def test_of_keys_that_differ_alike_the_first_stands_for_all_but_the_algorithm(made):
    """The coefficient, which changes with it, keeps its column; the rate, which is the same number
    as the coefficient in each run, has none."""
    whole = made(a=(PPO, 0.1, {"lr": 0.1}), b=(RLOO, 0.2, {"lr": 0.2}))
    assert list(whole.differing) == ["algorithm", "kl.coef"]


def test_one_algorithm_brings_nothing(made):
    whole = made(a=(PPO, 0.1, {}), b=(PPO, 0.2, {}))
    assert labels(whole) == {"a": "kl.coef=0.1", "b": "kl.coef=0.2"}
    assert whole.brought == {} and algorithms(whole) == ""
