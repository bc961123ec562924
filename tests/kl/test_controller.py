import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from rlhf.kl.controller import (
    PID,
    Adaptive,
    AdaptiveAlpacaFarm,
    Controller,
    Cosine,
    Dual,
    Fixed,
    Linear,
)

BOUNDS: dict[str, Any] = {"min_coef": 1e-4, "max_coef": 10.0}
MAKERS: dict[str, Callable[..., Any]] = {
    "fixed": lambda **k: Fixed(0.2),
    "linear": lambda **k: Linear(0.2, 0.1, 10),
    "cosine": lambda **k: Cosine(0.2, 0.1, 10),
    "adaptive": lambda **k: Adaptive(0.2, 6.0, 10000, **k),
    "adaptive_alpaca_farm": lambda **k: AdaptiveAlpacaFarm(0.2, 6.0, 0.1, **k),
    "pid": lambda **k: PID(0.2, 6.0, 0.2, 0.02, 0.1, **BOUNDS, **k),
    "dual": lambda **k: Dual(0.2, 6.0, 0.1, **BOUNDS, **k),
}
TARGETED = ["adaptive", "adaptive_alpaca_farm", "pid", "dual"]


def test_fixed_stays() -> None:
    controller = Fixed(0.0)
    controller.update(100.0, 512)
    assert controller.coef == 0.0
    assert controller.target is None


def test_ziegler_step() -> None:
    controller = Adaptive(0.1, target=6.0, horizon=10000)
    controller.update(12.0, 512)  # error clipped to 0.2
    assert controller.coef == pytest.approx(0.1 * 1.01024)
    controller.update(6.0, 512)
    assert controller.coef == pytest.approx(0.1 * 1.01024)
    controller.update(6.6, 1000)  # error 0.1, gain 0.1
    assert controller.coef == pytest.approx(0.1 * 1.01024 * 1.01)


def test_alpaca_step() -> None:
    controller = AdaptiveAlpacaFarm(0.1, target=6.0, k_beta=0.1)
    controller.update(7.2, 1)
    assert controller.coef == pytest.approx(0.102)
    ours, theirs = Adaptive(0.1, 6.0, 10000), AdaptiveAlpacaFarm(0.1, 6.0, 512 / 10000)
    for kl in (0.0, 3.0, 6.5, 40.0):
        ours.update(kl, 512)
        theirs.update(kl, 512)
    assert ours.coef == pytest.approx(theirs.coef, rel=1e-12)


def test_linear_and_cosine_by_hand() -> None:
    linear, cosine = Linear(1.0, 0.0, 4), Cosine(1.0, 0.0, 4)
    seen = []
    for _ in range(6):
        seen.append((linear.coef, cosine.coef))
        linear.update(math.nan, 1)  # schedules do not look at the KL
        cosine.update(5.0, 1, unit="token")
    assert [s[0] for s in seen] == pytest.approx([1.0, 2 / 3, 1 / 3, 0.0, 0.0, 0.0])
    # cos(60 degrees) = 1/2: weights (1 + 1/2) / 2 and (1 - 1/2) / 2
    assert [s[1] for s in seen] == pytest.approx([1.0, 0.75, 0.25, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("schedule", [Linear, Cosine])
def test_schedule_counts_the_last_value_shapes_the_last_rollout(schedule: Any) -> None:
    for rollouts in (2, 3, 7):
        controller, shaped = schedule(0.1, 0.3, rollouts), []
        for _ in range(rollouts):
            shaped.append(controller.coef)
            controller.update(1.0, 8)
        assert (shaped[0], shaped[-1]) == (0.1, 0.3)
    one = schedule(0.1, 0.3, 1)
    assert one.coef == 0.1  # a single rollout is the first


def test_pid_by_hand() -> None:
    pid = PID(0.1, target=2.0, kp=0.5, ki=0.1, kd=0.2, **BOUNDS)
    half = math.log(0.5)
    pid.update(1.0, 1)  # e = log(1/2); no derivative at the first update
    assert math.log(pid.coef / 0.1) == pytest.approx(0.6 * half)
    pid.update(2.0, 1)  # e = 0, sum = log(1/2), change = -log(1/2)
    assert math.log(pid.coef / 0.1) == pytest.approx(0.1 * half - 0.2 * half)
    pid.update(-3.0, 1)  # no logarithm: e = -1
    assert math.log(pid.coef / 0.1) == pytest.approx(-0.5 + 0.1 * (half - 1) - 0.2)


def test_pid_does_not_wind_up() -> None:
    pid = PID(1.0, target=2.0, kp=0.2, ki=0.1, kd=0.0, min_coef=0.5, max_coef=2.0)
    for _ in range(1000):
        pid.update(100.0, 1)
    assert pid.coef == 2.0
    pid.update(1.0, 1)
    assert pid.coef < 2.0


def test_dual_by_hand() -> None:
    dual = Dual(0.1, target=2.0, lr=0.1, **BOUNDS)
    dual.update(3.0, 1)
    assert dual.coef == pytest.approx(0.1 * math.exp(0.05))
    dual.update(1e9, 1)
    assert dual.coef == 10.0
    for _ in range(1000):
        dual.update(0.0, 1)
    assert dual.coef == 1e-4


@pytest.mark.parametrize("name", TARGETED)
def test_controller_units(name: str) -> None:
    by_token = MAKERS[name](unit="token")
    with pytest.raises(ValueError, match="per token.*per sequence"):
        by_token.update(3.0, 8)
    by_token.update(3.0, 8, unit="token")
    with pytest.raises(ValueError, match="per sequence.*per token"):
        MAKERS[name]().update(3.0, 8, unit="token")
    with pytest.raises(ValueError, match="unit must be"):
        MAKERS[name](unit="nats")
    with pytest.raises(ValueError, match="episodes"):
        MAKERS[name]().update(3.0, 0)


def test_controller_units_token_target_is_sequence_target_over_length() -> None:
    by_sequence, by_token = Adaptive(0.1, 6.0, 1000), Adaptive(0.1, 6.0 / 24, 1000, unit="token")
    for kl in (1.0, 5.5, 6.6):
        by_sequence.update(kl, 64)
        by_token.update(kl / 24, 64, unit="token")
    assert by_sequence.coef == pytest.approx(by_token.coef, rel=1e-12)


@pytest.mark.parametrize("name", TARGETED)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_controller_positive_a_kl_that_is_not_finite_moves_nothing(name: str, bad: float) -> None:
    controller = MAKERS[name]()
    controller.update(8.0, 512)
    before = controller.state_dict()
    controller.update(bad, 512)
    assert controller.state_dict() == before


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(-0.1),
        lambda: Fixed(math.nan),
        lambda: Adaptive(0.0, 6.0, 10000),
        lambda: Adaptive(0.1, 0.0, 10000),
        lambda: Adaptive(0.1, 6.0, 0),
        lambda: AdaptiveAlpacaFarm(0.1, 6.0, 0.0),
        lambda: AdaptiveAlpacaFarm(0.1, 6.0, 5.0),
        lambda: PID(0.0, 6.0, 0.1, 0.1, 0.0, **BOUNDS),
        lambda: PID(20.0, 6.0, 0.1, 0.1, 0.0, **BOUNDS),
        lambda: PID(0.1, 6.0, 0.0, 0.0, 0.0, **BOUNDS),
        lambda: PID(0.1, 6.0, -0.1, 0.0, 0.0, **BOUNDS),
        lambda: Dual(0.1, 6.0, 0.1, 0.0, 10.0),
        lambda: Dual(0.1, 6.0, 0.0, 1e-4, 10.0),
        lambda: Linear(0.1, -0.1, 5),
        lambda: Linear(0.1, 0.0, 0),
        lambda: Adaptive(0.1, 6.0, 100).update(1.0, 500),
    ],
)
def test_controller_positive_refusals(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize("name", TARGETED)
@example(kls=[5e-324])  # divided by the target it would be 0
@given(kls=st.lists(st.floats(-100, 1000), min_size=1, max_size=30))
def test_controller_negative_kl_never_flips_the_sign(name: str, kls: list[float]) -> None:
    controller = MAKERS[name]()
    for kl in kls:
        before = controller.coef
        controller.update(kl, 512)
        assert 0 < controller.coef < math.inf
        if name == "adaptive":
            assert abs(controller.coef / before - 1) <= 0.2 * 512 / 10000 + 1e-12


@pytest.mark.parametrize("name", list(MAKERS))
def test_controller_resume(name: str) -> None:
    kls = [0.5, 3.0, 9.0, -1.0, 40.0, 6.0, 2.0, 7.0]
    whole, first, second = (MAKERS[name]() for _ in range(3))
    straight = []
    for kl in kls:
        whole.update(kl, 512)
        straight.append(whole.coef)
    resumed = []
    for controller, part in ((first, kls[:3]), (second, kls[3:])):
        if controller is second:
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            assert second.coef == first.coef
        for kl in part:
            controller.update(kl, 512)
            resumed.append(controller.coef)
    assert resumed == straight


def test_state_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="PID has the state"):
        MAKERS["pid"]().load_state_dict(Fixed(0.2).state_dict())


@pytest.mark.parametrize("start", [0.005, 0.5])
@pytest.mark.parametrize(
    "make",
    [
        lambda coef: Adaptive(coef, 6.0, 1000),
        lambda coef: AdaptiveAlpacaFarm(coef, 6.0, 0.2),
        lambda coef: PID(coef, 6.0, 1.0, 0.1, 0.0, **BOUNDS),
        lambda coef: Dual(coef, 6.0, 0.05, **BOUNDS),
    ],
)
def test_controller_closed_loop(make: Callable[[float], Controller], start: float) -> None:
    """A plant with a lag of 5 rollouts and, in the long run, KL = 6 (0.05 / coef)^0.7: a
    coefficient of 0.05 gives the target."""
    controller, kl = make(start), 0.0
    for _ in range(600):
        kl += (6 * (0.05 / controller.coef) ** 0.7 - kl) / 5
        controller.update(kl, 256)
    assert kl == pytest.approx(6.0, rel=0.05)
    assert controller.coef == pytest.approx(0.05, rel=0.1)
