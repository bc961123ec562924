"""The suite's problems are those of its rule, and its verdicts follow from their numbers."""

import math

import pytest
import torch
import yaml

from benchmarks.oracle_suite.power import is_blind, known_shares
from benchmarks.oracle_suite.problems import BETAS, LEVELS, problems
from benchmarks.oracle_suite.results import (
    judged_at,
    part_of_ascent,
    shares_table,
    solved,
    solved_table,
)
from benchmarks.oracle_suite.runs import FALLING, Problem, at, budget, reached, words_of
from benchmarks.oracle_suite.variants import VARIANTS
from rlhf.config.naming import run_hash
from rlhf.config.plugins.folders import conf_dir


@pytest.mark.parametrize("number", range(1, 9))
def test_the_files_are_what_the_rule_draws(number):
    file = yaml.safe_load((conf_dir() / "data" / f"suite_{number}.yaml").read_text())
    assert file.pop("defaults") == ["micro", "_self_"]
    assert file == problems()[number]


def test_every_level_is_drawn_as_often_as_it_stands():
    drawn = list(problems().values())
    for name in ("prompts", "peak", "stop", "word", "error"):
        assert sorted(own[name] for own in drawn) == sorted(LEVELS[name])
    sizes = [(own["vocabulary"], own["max_response_tokens"]) for own in drawn]
    assert sorted(sizes) == sorted(LEVELS["size"])


def test_known_shares_by_hand():
    """Reference 1/2, 1/2, rewards 0 and 1, beta 1 / log 4: pi* = 1/5, 4/5, J* = beta log(5/2),
    J_ref = 1/2. At 2 beta the optimum is 1/3, 2/3; the best response alone has 1 - beta log 2."""
    ref = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
    reward, beta = torch.tensor([[0.0, 1.0]], dtype=torch.float64), 1 / math.log(4)
    gain = beta * math.log(5 / 2) - 0.5
    shares = known_shares(ref, reward, beta)
    assert shares["no KL"] == pytest.approx((0.5 - beta * math.log(2)) / gain)
    kl = math.log(2 / 3) / 3 + 2 * math.log(4 / 3) / 3
    assert shares["double beta"] == pytest.approx((2 / 3 - beta * kl - 0.5) / gain)
    # at beta / 2: 1/17, 16/17
    kl = math.log(2 / 17) / 17 + 16 * math.log(32 / 17) / 17
    assert shares["half beta"] == pytest.approx((16 / 17 - beta * kl - 0.5) / gain)
    assert not is_blind(shares) and is_blind({"double beta": 0.99})


def test_verdicts():
    """Problem 1 has 0.99 * 0.8 of a gain of which ascent has 0.8; of problem 2 one coefficient of
    two falls short; 0.05 is not judged."""

    def row(problem, beta, share, seed=0):
        own = {"problem": problem, "beta": beta, "share_of_gain": share}
        return {**own, "seed": seed, "label": "ppo", "responses": 1000}

    power = [
        {"problem": p, "beta": b, "ascent": 0.8 if p == 1 else 1.0} for p in (1, 2) for b in BETAS
    ]
    rows = [row(1, 0.1, 0.793), row(1, 0.05, 0.1), row(2, 0.1, 0.999), row(2, 0.5, 0.98)]
    assert solved(rows, power) == {1: True, 2: False}
    seeds = [row(2, 0.1, share) for share in (0.1, 0.6, 0.7)]
    assert part_of_ascent(seeds, {"ascent": 0.8}) == pytest.approx(0.75)
    assert math.isnan(part_of_ascent(seeds, {})) and solved(rows, []) == {}  # no bar, no verdict
    titles, lines = solved_table(rows, power)
    assert lines == [["ppo", "1 of 2", "1,000", "99.12", "98.00"]] and len(titles) == 5


def test_a_line_of_shares_by_hand():
    """Medians 0.5 of problem 1 and 0.94 of problem 2, where one seed is missing: mean 72.0 %."""
    rows = [
        {"label": "rloo", "beta": 1.0, "problem": p, "share_of_gain": share, "responses": 1000}
        for p, share in ((1, 0.4), (1, 0.5), (1, 0.9), (2, 0.92), (2, 0.96))
    ]
    _, lines = shares_table(rows)
    own = ["50.0 (40.0 to 90.0)", "94.0 (92.0 to 96.0)", "72.0", "1 of 2"]
    assert lines == [["rloo", "1", "1,000", "2 to 3", *own]]


def test_a_policy_is_judged_at_another_coefficient_by_hand():
    """J_ref = 0.5, J* = 0.9 at beta 0.5; reward 1 at a KL of 0.4: J = 0.8, three quarters of the
    gain, and 0.1 / 0.5 nats from the optimum."""
    known = {"beta": 0.5, "optimum": 0.9, "reference": 0.5, "gain": 0.4}
    row = judged_at({"reward": 1.0, "kl": 0.4, "share_of_gain": 0.1, "seed": 3}, known)
    assert row["share_of_gain"] == pytest.approx(0.75)
    assert row["kl_to_optimum"] == pytest.approx(0.2) and row["seed"] == 3


def test_a_budget_is_the_same_number_of_responses_and_of_steps():
    """20 x 512 = 10,240 responses, 4 steps each time: on 512 rows, 256 pairs, 32 or 128 winners."""
    assert budget("rloo", 20, 512) == budget("ppo", 20, 512)
    assert budget("ppo", 20, 512) == (
        *("ppo.iterations=20", "ppo.rollout_size=512", "ppo.minibatch_size=128"),
    )
    assert budget("ipo", 20, 512)[1:] == ("ppo.rollout_size=256", "ppo.minibatch_size=64")
    assert budget("best_of_n", 20, 512)[2] == "ppo.minibatch_size=8"
    assert budget("expert_iteration", 20, 512)[2:] == (
        *("ppo.minibatch_size=32", "algorithm.round_iterations=5"),
    )


def test_words_of_a_coefficient():
    assert at(("kl.coef=TEN_BETA", "kl.controller.final=BETA"), 0.2) == (
        *("kl.coef=2", "kl.controller.final=0.2"),
    )
    assert at(("ppo.inner_epochs=2",), 0.2) == ("ppo.inner_epochs=2",)


FAMILY = (
    *("ppo", "reinforce", "rloo", "grpo", "dr_grpo", "dapo", "dpo", "ipo", "best_of_n"),
    "expert_iteration",
)


@pytest.mark.slow
def test_everything_that_is_run_is_a_valid_command(tmp_path):
    for words in VARIANTS.values():
        Problem(3, tmp_path).config(0.2, words)
    for algorithm in FAMILY:
        words = (*words_of(algorithm), *budget(algorithm, 20, 512))
        assert Problem(3, tmp_path).config(0.2, words).kl.coef in {0.0, 0.2}


def test_nothing_is_trained_where_what_is_finished_is_asked_for(tmp_path):
    assert reached(Problem(3, tmp_path), 0.2, 0, "ppo", words_of("ppo"), train=False) is None
    assert not list(tmp_path.iterdir())


def test_ppo_by_its_name_is_the_experiment(tmp_path):
    problem = Problem(3, tmp_path)
    named, experiment = problem.config(0.2, (*words_of("ppo"), *FALLING)), problem.config(0.2)
    assert run_hash(named.plain()) == run_hash(experiment.plain())
