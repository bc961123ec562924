"""A search by `objective` compares trials at one coefficient, or is refused."""

import pytest

SEARCH = ["hydra/sweeper=find", "hydra.sweeper.objective=objective", "hydra.sweeper.target=1"]
RATES = "ppo.optimizer.lr=tag(log, interval(1e-4, 1e-3))"


def refusals(planned, *lines):
    return [fault for fault in planned(*lines, multirun=True).faults if "objective" in fault]


@pytest.mark.parametrize(
    "varied",
    [
        ["kl.coef=tag(log, interval(0.01, 1))"],
        [RATES, "kl.coef=0.1,0.2"],
        [RATES, "kl/controller=fixed,linear"],
    ],
)
def test_other_coefficients_are_other_quantities(planned, varied):
    (refusal,) = refusals(planned, *SEARCH, *varied)
    assert "varies kl.coef or kl.controller" in refusal and "reward/gold" in refusal


def test_a_controller_that_follows_the_kl_ends_each_trial_at_its_own(planned):
    (refusal,) = refusals(planned, *SEARCH, RATES, "kl/controller=pid")
    assert "kl/controller=pid ends each trial at a coefficient of its own" in refusal


@pytest.mark.parametrize("controller", ["fixed", "cosine"])
def test_one_coefficient_for_all_is_a_comparison(planned, controller):
    assert refusals(planned, *SEARCH, RATES, f"kl/controller={controller}") == []


def test_other_goals_and_grids_are_left_alone(planned):
    coefs = "kl.coef=tag(log, interval(0.01, 1))"
    assert refusals(planned, "hydra/sweeper=find", coefs) == []
    assert refusals(planned, "kl.coef=0.1,0.2") == []
