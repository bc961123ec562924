"""How the coefficient moves: small pure rules with a little state. No torch.

`update` is called once per rollout, after the coefficient was used, with the KL of that rollout
averaged over all ranks. KL is in nats per response (unit "sequence") or per token ("token"); a
controller with a target refuses the other unit. A KL that is not finite never moves the
coefficient. Schedules are updated after every rollout, whatever the KL, and so are functions of the
iteration alone; a controller that follows the KL is left alone while `ppo.critic_warmup` holds the
policy still.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from rlhf.arguments import one_of, positive
from rlhf.kl.properties import CONTROLLERS

Unit = Literal["sequence", "token"]
# the plain log-ratio, an unbiased estimate of the KL, or the estimate that the penalty is made of
Steering = Literal["log_ratio", "penalty"]
State = dict[str, float]

STEP_CLIP = 0.2  # of KL / target - 1, in Adaptive and AdaptiveAlpacaFarm
MAX_GAIN = 1 / STEP_CLIP  # at which a step could bring the coefficient to 0
ERROR_CLIP = 1.0  # of log(KL / target), in PID: at the start KL is 0 and its logarithm -inf


class Controller:
    """The base of ours; one's own may be any object with the same attributes and methods. State is
    the attributes named in `_state`, plain numbers."""

    _state: tuple[str, ...] = ("coef",)
    unit: Unit = "sequence"
    target: float | None = None
    steered_by: Steering = "log_ratio"

    def __init__(self, coef: float) -> None:
        if not (math.isfinite(coef) and coef >= 0):
            raise ValueError(f"coef must be a finite number of at least 0, got {coef}")
        self.coef = float(coef)  # of the rollout to come

    def check_episodes(self, episodes: int) -> None:
        """Raises ValueError where `update` would refuse a rollout of so many responses: the check
        of the config asks it of a run's rollouts."""

    def update(self, sequence_nats: float, episodes: int, *, unit: Unit = "sequence") -> None:
        """The KL of the last rollout, in `unit`, and its number of responses."""

    def state_dict(self) -> State:
        return {name: getattr(self, name) for name in self._state}

    def load_state_dict(self, state: State) -> None:
        """Raises ValueError for the state of another kind of controller."""
        if state.keys() != set(self._state):
            raise ValueError(
                f"{type(self).__name__} has the state {sorted(self._state)}, got {sorted(state)}"
            )
        for name in self._state:
            setattr(self, name, state[name])


class Fixed(Controller):
    """beta stays where it starts."""

    properties = CONTROLLERS["fixed"]


class _Schedule(Controller):
    """From `coef` in the first rollout to `final` in the `iterations`-th, and then `final`. Where
    that is the first too, it has `coef`."""

    _state = ("coef", "iteration")

    def __init__(self, coef: float, final: float, iterations: int) -> None:
        super().__init__(coef)
        if not (math.isfinite(final) and final >= 0):
            raise ValueError(f"final must be a finite number of at least 0, got {final}")
        if iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {iterations}")
        self.start, self.final, self.iterations = self.coef, float(final), iterations
        self.iteration = 0

    def update(self, sequence_nats: float, episodes: int, *, unit: Unit = "sequence") -> None:
        self.iteration += 1
        # the first of the rollouts has `start` and the last has `final`
        self.coef = self._at(min(self.iteration / max(self.iterations - 1, 1), 1.0))

    def _at(self, fraction: float) -> float:
        raise NotImplementedError


class Linear(_Schedule):
    """coef + (final - coef) (i - 1) / (iterations - 1) in rollout i = 1 .. iterations, then
    final."""

    properties = CONTROLLERS["linear"]

    def _at(self, fraction: float) -> float:
        return (1 - fraction) * self.start + fraction * self.final


class Cosine(_Schedule):
    """final + (coef - final) (1 + cos(pi (i - 1) / (iterations - 1))) / 2 in rollout i = 1 ..
    iterations, then final."""

    properties = CONTROLLERS["cosine"]

    def _at(self, fraction: float) -> float:
        weight = (1 + math.cos(math.pi * fraction)) / 2
        return weight * self.start + (1 - weight) * self.final


class _Targeted(Controller):
    """A controller that KL drives. Its rules multiply, so it must start above 0."""

    target: float

    def __init__(self, coef: float, target: float, unit: Unit = "sequence") -> None:
        super().__init__(positive("coef (it is multiplied, so 0 would stay 0)", coef))
        self.target = positive("target", target)
        self.unit = one_of("unit", unit, get_args(Unit))

    def update(self, sequence_nats: float, episodes: int, *, unit: Unit = "sequence") -> None:
        """Raises ValueError for a KL in the other unit, or without episodes."""
        if unit != self.unit:
            raise ValueError(
                f"{type(self).__name__} has its target in nats per {self.unit}, but was given a KL"
                f" in nats per {unit}"
            )
        if episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {episodes}")
        if math.isfinite(sequence_nats):
            self._step(float(sequence_nats), episodes)

    def _step(self, kl: float, episodes: int) -> None:
        raise NotImplementedError


class Adaptive(_Targeted):
    """beta *= 1 + clip(KL/target - 1, +-0.2) * episodes / horizon: Ziegler et al. 2019 (arXiv
    1909.08593), section 2.2.

    `episodes` is the number of responses in the rollout. From 5 horizons up a step could reach beta
    = 0, and is refused.
    """

    properties = CONTROLLERS["adaptive"]

    def __init__(self, coef: float, target: float, horizon: float, unit: Unit = "sequence") -> None:
        super().__init__(coef, target, unit)
        self.horizon = positive("horizon", horizon)

    def check_episodes(self, episodes: int) -> None:
        _gain(f"episodes / horizon = {episodes} / {self.horizon:g}", episodes / self.horizon)

    def _step(self, kl: float, episodes: int) -> None:
        self.check_episodes(episodes)
        self.coef *= 1 + _clip(kl / self.target - 1, STEP_CLIP) * episodes / self.horizon


class AdaptiveAlpacaFarm(_Targeted):
    """beta *= 1 + clip(KL/target - 1, +-0.2) * k_beta, whatever the rollout's size: Adaptive with
    k_beta = episodes / horizon.

    AlpacaFarm (arXiv 2305.14387), `rl/kl_controller.py::AdaptiveKLController`. Its code feeds the
    clamped log-ratio of the penalty (`steered_by="penalty"`), which is larger than the KL.
    """

    properties = CONTROLLERS["adaptive_alpaca_farm"]

    def __init__(
        self,
        coef: float,
        target: float,
        k_beta: float,
        unit: Unit = "sequence",
        steered_by: Steering = "log_ratio",
    ) -> None:
        super().__init__(coef, target, unit)
        self.k_beta = _gain("k_beta", positive("k_beta", k_beta))
        self.steered_by = one_of("steered_by", steered_by, get_args(Steering))

    def _step(self, kl: float, episodes: int) -> None:
        self.coef *= 1 + _clip(kl / self.target - 1, STEP_CLIP) * self.k_beta


class _Bounded(_Targeted):
    """Keeps beta in [min_coef, max_coef], 0 < min_coef <= coef <= max_coef."""

    def __init__(
        self, coef: float, target: float, min_coef: float, max_coef: float, unit: Unit = "sequence"
    ) -> None:
        super().__init__(coef, target, unit)
        self.min_coef, self.max_coef = (
            positive("min_coef", min_coef),
            positive("max_coef", max_coef),
        )
        if not min_coef <= coef <= max_coef:
            raise ValueError(
                f"coef must lie in [min_coef, max_coef] = [{min_coef}, {max_coef}], got {coef}"
            )

    def _from_log(self, log_coef: float) -> float:
        if log_coef <= math.log(self.min_coef):
            return self.min_coef
        return self.max_coef if log_coef >= math.log(self.max_coef) else math.exp(log_coef)


class PID(_Bounded):
    """log beta = log coef + kp e + ki sum(e) + kd (e - e_before), with e = clip(log(KL / target),
    +-1).

    A PID-controlled multiplier after Stooke et al. 2020 (arXiv 2007.03964), in log space: equal
    ratios are equal errors. A KL of 0 or less counts as e = -1. Anti-windup: the sum does not grow
    while beta sits at a bound and the error pushes it outwards.
    """

    properties = CONTROLLERS["pid"]

    _state = ("coef", "integral", "error", "updates")

    def __init__(
        self,
        coef: float,
        target: float,
        kp: float,
        ki: float,
        kd: float,
        min_coef: float,
        max_coef: float,
        unit: Unit = "sequence",
    ) -> None:
        super().__init__(coef, target, min_coef, max_coef, unit)
        if not all(math.isfinite(gain) and gain >= 0 for gain in (kp, ki, kd)) or kp + ki + kd == 0:
            raise ValueError(
                f"kp, ki and kd must be finite, at least 0, and not all 0; got {kp}, {ki}, {kd}"
            )
        self.start, self.kp, self.ki, self.kd = self.coef, kp, ki, kd
        self.integral = self.error = 0.0
        self.updates = 0

    def _step(self, kl: float, episodes: int) -> None:
        error = _clip(math.log(kl) - math.log(self.target), ERROR_CLIP) if kl > 0 else -ERROR_CLIP
        change = error - self.error if self.updates else 0.0
        integral = self.integral + error
        log_coef = math.log(self.start) + self.kp * error + self.ki * integral + self.kd * change
        self.coef = self._from_log(log_coef)
        outwards = (self.coef == self.max_coef and error > 0) or (
            self.coef == self.min_coef and error < 0
        )
        self.integral = self.integral if outwards else integral
        self.error, self.updates = error, self.updates + 1


class Dual(_Bounded):
    """log beta += lr * (KL - target) / target: dual ascent on the Lagrangian of "maximise reward
    subject to KL <= target", in log beta."""

    properties = CONTROLLERS["dual"]

    def __init__(
        self,
        coef: float,
        target: float,
        lr: float,
        min_coef: float,
        max_coef: float,
        unit: Unit = "sequence",
    ) -> None:
        super().__init__(coef, target, min_coef, max_coef, unit)
        self.lr = positive("lr", lr)

    def _step(self, kl: float, episodes: int) -> None:
        self.coef = self._from_log(math.log(self.coef) + self.lr * (kl - self.target) / self.target)


def _clip(x: float, bound: float) -> float:
    return max(-bound, min(bound, x))


def _gain(name: str, gain: float) -> float:
    """1 - 0.2 * gain must stay above 0, or a small KL would flip the coefficient's sign."""
    if gain >= MAX_GAIN:
        raise ValueError(
            f"{name} must be below {MAX_GAIN:g}, got {gain:g}: one step could bring the"
            " coefficient to 0"
        )
    return gain
