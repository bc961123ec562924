"""How well a policy did, without sampling: beside the reference it began from and the optimum it
could have reached."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from rlhf.oracle.best_of_n import best_of_n, bon_kl
from rlhf.oracle.exact import best_policy, exact_sequence_kl, expected, objective, sequence_entropy

# 0.003 to 32: what `frontier` shows by default
BETAS = tuple(round(10 ** (e / 8), 6) for e in range(-20, 13))
NS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One policy on one prompt, or in the mean over prompts. KL and entropy in nats per
    response."""

    reward: float  # E_pi[r]
    kl: float  # KL(pi || ref)
    entropy: float
    objective: float  # J = reward - beta kl
    optimum: float  # J* = beta log Z
    reference: float  # J of the reference: its reward
    optimum_kl: float
    optimum_reward: float
    kl_to_optimum: float  # KL(pi || pi*); inf at beta 0, but for a policy of best responses alone

    @property
    def gap(self) -> float:
        return self.optimum - self.objective

    @property
    def share_of_gain(self) -> float:
        """(J - J_ref) / (J* - J_ref): 0 for the reference, 1 for the optimum; NaN where there is
        nothing to gain."""
        gain = self.optimum - self.reference
        return (self.objective - self.reference) / gain if gain > 1e-12 else math.nan

    def as_dict(self) -> dict[str, float]:
        return {**asdict(self), "gap": self.gap, "share_of_gain": self.share_of_gain}


def standings(logp: Tensor, ref_logp: Tensor, reward: Tensor, beta: float) -> list[Standing]:
    """One for each prompt: logp, ref_logp, reward [X, N]. beta may be 0: then the optimum is the
    best response there is."""
    best = best_policy(ref_logp, reward, beta)
    columns = {
        "reward": expected(reward, logp),
        "kl": exact_sequence_kl(logp, ref_logp),
        "entropy": sequence_entropy(logp),
        "objective": objective(reward, logp, ref_logp, beta),
        "optimum": objective(reward, best, ref_logp, beta),
        "reference": expected(reward, ref_logp),
        "optimum_kl": exact_sequence_kl(best, ref_logp),
        "optimum_reward": expected(reward, best),
        "kl_to_optimum": exact_sequence_kl(logp, best),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [Standing(**dict(zip(columns, row, strict=True))) for row in rows]


def mean_standing(rows: list[Standing]) -> Standing:
    """Every prompt counts the same. The share of the gain is then that of the mean objectives,
    not the mean of shares."""
    return Standing(
        **{name: sum(getattr(row, name) for row in rows) / len(rows) for name in asdict(rows[0])}
    )


def greedy_kl(ref_logp: Tensor, reward: Tensor) -> float:
    """The mean KL of the best responses alone: the most that any optimum has. [X, N] -> nats"""
    return float(exact_sequence_kl(best_policy(ref_logp, reward, 0.0), ref_logp).mean())


def beta_for_kl(ref_logp: Tensor, reward: Tensor, kl: float) -> float:
    """The coefficient whose optimum has the mean KL `kl`: the one that a controller with that
    target should find. [X, N], nats -> beta

    KL* falls as beta grows: bisection on log beta. Raises ValueError for a KL that no coefficient
    above 0 gives.
    """
    top = greedy_kl(ref_logp, reward)
    if not 0 < kl < top:
        raise ValueError(
            f"a KL of {kl} nats is the optimum of no coefficient: the best responses have {top:.4g}"
        )
    spread = float((reward.amax(-1) - reward.amin(-1)).max())
    low, high = math.log(spread * 1e-4), math.log(spread * 1e6)
    for _ in range(80):
        middle = (low + high) / 2
        reached = float(
            exact_sequence_kl(best_policy(ref_logp, reward, math.exp(middle)), ref_logp).mean()
        )
        low, high = (middle, high) if reached > kl else (low, middle)
    return math.exp(high)


def effective_beta(ref_logp: Tensor, reward: Tensor, kl: float) -> float:
    """The coefficient whose optimum has the mean KL that a policy has: above its own where it
    stayed nearer to the reference than its optimum. [X, N], nats -> beta

    Where no coefficient gives that KL, the limit: inf for a KL of 0 (or below, by rounding), 0 from
    that of the best responses alone on.
    """
    if kl <= 0:
        return math.inf
    return 0.0 if kl >= greedy_kl(ref_logp, reward) else beta_for_kl(ref_logp, reward, kl)


def reward_at_kl(ref_logp: Tensor, reward: Tensor, kl: float) -> float:
    """R*(kl): the highest mean reward that any policy reaches within a mean KL of `kl`. [X, N],
    nats -> reward"""
    if kl >= greedy_kl(ref_logp, reward):
        return float(expected(reward, best_policy(ref_logp, reward, 0.0)).mean())
    best = ref_logp if kl <= 0 else best_policy(ref_logp, reward, beta_for_kl(ref_logp, reward, kl))
    return float(expected(reward, best).mean())


def frontier(
    ref_logp: Tensor, reward: Tensor, betas: tuple[float, ...] = BETAS
) -> list[dict[str, float]]:
    """The optimum at each beta, in the mean over prompts: beta, kl, reward, objective."""
    rows = []
    for beta in betas:
        best = best_policy(ref_logp, reward, beta)
        kl, mean = (
            float(exact_sequence_kl(best, ref_logp).mean()),
            float(expected(reward, best).mean()),
        )
        rows.append({"beta": beta, "kl": kl, "reward": mean, "objective": mean - beta * kl})
    return rows


def best_of_n_curve(
    ref_logp: Tensor, reward: Tensor, ns: tuple[int, ...] = NS
) -> list[dict[str, float]]:
    """Best of n of the reference, in the mean over prompts: n, its exact kl and reward, and the
    formula's kl beside it."""
    rows = []
    for n in ns:
        kept = best_of_n(ref_logp, reward, n)
        kl, mean = (
            exact_sequence_kl(kept, ref_logp.double()).mean(),
            expected(reward.double(), kept).mean(),
        )
        rows.append({"n": n, "kl": float(kl), "reward": float(mean), "formula_kl": bon_kl(n)})
    return rows


def check_normalised(logp: Tensor, tolerance: float = 1e-3) -> None:
    """Raises ValueError where the listed responses [X, N] do not have all of the policy's
    probability."""
    mass = logp.double().exp().sum(dim=-1)
    if not bool(torch.isfinite(mass).all()) or float((mass - 1).abs().max()) > tolerance:
        raise ValueError(
            f"the listed responses have the probability {mass.tolist()}, not 1: another vocabulary"
            " or length was sampled"
        )
