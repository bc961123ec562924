"""The coefficient that gives a target, by hand, and controllers that must find it on the exact
plant."""

import math

import pytest
import torch
from torch import tensor

from rlhf.kl.controller import PID, Adaptive, AdaptiveAlpacaFarm, Dual
from rlhf.oracle import best_policy, beta_for_kl, exact_sequence_kl

EVEN = tensor([[0.5, 0.5]], dtype=torch.float64).log()
REWARD = tensor([[0.0, 1.0]], dtype=torch.float64)


def test_the_coefficient_for_a_kl_by_hand():
    """Two equal responses, rewards 0 and 1: at beta the better one has odds e^(1/beta). Odds of
    3: beta = 1 / log 3, KL = 1/4 log 1/2 + 3/4 log 3/2."""
    kl = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert beta_for_kl(EVEN, REWARD, kl) == pytest.approx(1 / math.log(3), rel=1e-9)
    # beta has the reward's unit
    assert beta_for_kl(EVEN, 10 * REWARD, kl) == pytest.approx(10 / math.log(3), rel=1e-9)


def test_the_mean_kl_over_prompts_counts():
    """A second prompt with nothing to gain has a KL of 0, so the first must have twice the
    target."""
    kl = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    both = beta_for_kl(EVEN.expand(2, 2), torch.cat([REWARD, torch.zeros(1, 2)]), kl / 2)
    assert both == pytest.approx(1 / math.log(3), rel=1e-9)


@pytest.mark.parametrize("target", [0.0, -1.0, math.log(2.0), 5.0, math.nan])
def test_a_target_that_no_coefficient_gives(target):
    """The best response alone has log 2 nats."""
    with pytest.raises(ValueError, match="no coefficient"):
        beta_for_kl(EVEN, REWARD, target)


@pytest.mark.parametrize("share", [0.25, 4.0])
@pytest.mark.parametrize("name", ["adaptive", "adaptive_alpaca_farm", "pid", "dual"])
def test_controller_closed_loop_on_the_exact_plant(name, share):
    """beta -> KL of the best policy of six responses, a lag of 8 rollouts, a start 4 times too
    low and too high; the gains of conf."""
    ref = tensor([[0.4, 0.3, 0.1, 0.1, 0.06, 0.04]], dtype=torch.float64).log()
    reward = tensor([[0.0, -1.0, 1.0, 0.5, 2.0, 3.0]], dtype=torch.float64)
    target = 0.8
    right = beta_for_kl(ref, reward, target)
    bounds = {"min_coef": 1e-4, "max_coef": 10.0}
    controller = {
        "adaptive": lambda: Adaptive(right * share, target, horizon=10000),
        "adaptive_alpaca_farm": lambda: AdaptiveAlpacaFarm(right * share, target, k_beta=0.1),
        "pid": lambda: PID(right * share, target, kp=0.1, ki=0.05, kd=0.0, **bounds),
        "dual": lambda: Dual(right * share, target, lr=0.05, **bounds),
    }[name]()
    kl, kls = 0.0, []
    for _ in range(300):
        kl += (exact_sequence_kl(best_policy(ref, reward, controller.coef), ref).item() - kl) / 8
        kls.append(kl)
        controller.update(kl, 512)
    assert all(x == pytest.approx(target, rel=0.05) for x in kls[-60:])
    assert controller.coef == pytest.approx(right, rel=0.05)
