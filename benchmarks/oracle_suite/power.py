"""What a problem can tell apart: the shares of the gain at each coefficient of policies that are
known without sampling."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.oracle_suite.problems import BLIND
from benchmarks.oracle_suite.runs import Problem
from rlhf.modules.exact import ExactView, ascend
from rlhf.oracle import best_of_n, best_policy, effective_beta, mean_standing, standings
from rlhf.stages.ppo import ppo_module

# Exact gradient ascent: steps and rate, the same for every problem. The slower way gets past some
# of the policies where the first one stays; it is gone where the first has less than ENOUGH, and
# the better counts.
WAYS, ENOUGH = ((300, 3e-3), (300, 5e-4)), 0.98


def known_shares(ref_logp: Tensor, reward: Tensor, beta: float) -> dict[str, float]:
    """Shares of the gain at `beta`, [X, N] of the reference and the reward."""
    policies = {
        "no KL": best_policy(ref_logp, reward, 0.0),
        "double beta": best_policy(ref_logp, reward, 2 * beta),
        "half beta": best_policy(ref_logp, reward, beta / 2),
        "best of 64": best_of_n(ref_logp, reward, 64),
    }
    return {
        name: mean_standing(standings(logp, ref_logp, reward, beta)).share_of_gain
        for name, logp in policies.items()
    }


def is_blind(shares: Mapping[str, float]) -> bool:
    return shares["double beta"] >= BLIND


def best_chance(ref_logp: Tensor, reward: Tensor, beta: float) -> float:
    """The reference's probability of the optimum's likeliest response, at the prompt where it is
    lowest."""
    likeliest = best_policy(ref_logp, reward, beta).argmax(dim=-1, keepdim=True)
    return float(ref_logp.gather(-1, likeliest).min().exp())


def tables_of(problem: Problem, beta: float) -> tuple[ExactView, Tensor, Tensor]:
    """A view of the SFT policy, and log ref and reward [X, N]."""
    module = ppo_module(problem.context(beta), problem.sft(), None)
    module.policy.eval()
    view = ExactView(module, module.parts.prompts.training())
    _, ref_logp, reward = view.tables()
    return view, ref_logp, reward


def known_of(problem: Problem, betas: Sequence[float]) -> list[dict[str, Any]]:
    """A row of each coefficient, of policies that nothing has to be trained for."""
    with problem.folder_of_its_own():
        _, ref_logp, reward = tables_of(problem, 1.0)
    rows = []
    for beta in betas:
        optimum = standings(best_policy(ref_logp, reward, beta), ref_logp, reward, beta)
        best = mean_standing(optimum)
        rows.append(
            {
                "problem": problem.number,
                "beta": beta,
                "responses": ref_logp.shape[1],
                "prompts": ref_logp.shape[0],
                "best_chance": best_chance(ref_logp, reward, beta),
                "largest_reward": float(reward.max()),
                "optimum": best.optimum,
                "reference": best.reference,
                "gain": best.optimum - best.reference,
                "optimum_kl": best.optimum_kl,
                **known_shares(ref_logp, reward, beta),
            }
        )
    return rows


def ascent_of(problem: Problem, beta: float, kept: Path, *, train: bool = True) -> dict[str, float]:
    """What exact gradient ascent reaches; kept in the folder, and read from there again. Empty
    where it is not there, and nothing is to be trained."""
    tries: list[dict[str, float]] = []
    for steps, lr in WAYS:
        if not tries or tries[-1]["ascent"] < ENOUGH:
            file = kept / f"{problem.name}-beta{beta:g}-{steps}x{lr:g}.json"
            if not file.exists() and not train:
                continue
            if not file.exists():
                kept.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(ascended(problem, beta, steps, lr), indent=2))
            tries.append(json.loads(file.read_text()))
    return max(tries, key=lambda row: row["ascent"], default={})


def ascended(problem: Problem, beta: float, steps: int, lr: float) -> dict[str, float]:
    with problem.folder_of_its_own():
        view, ref_logp, reward = tables_of(problem, beta)
        ascend(view, steps=steps, lr=lr)
        logp, _, _ = view.tables()
    reached = mean_standing(standings(logp, ref_logp, reward, beta))
    return {
        "ascent": reached.share_of_gain,
        "kl": reached.kl,
        "kl_to_optimum": reached.kl_to_optimum,
        "effective_beta": effective_beta(ref_logp, reward, reached.kl),
    }


def power_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Titles and lines, shares in percent."""
    titles = [
        *("problem", "beta", "best response's chance", "J* - J_ref", "no KL", "double beta"),
        *("half beta", "best of 64", "exact ascent", "its KL (optimum)", "tells beta from 2 beta"),
    ]
    shares = ("no KL", "double beta", "half beta", "best of 64", "ascent")
    lines = [
        [
            str(row["problem"]),
            f"{row['beta']:g}",
            f"{row['best_chance']:.1g}",
            f"{row['gain']:.3f}",
            *(percent(row.get(name, math.nan)) for name in shares),
            f"{row['kl']:.3f} ({row['optimum_kl']:.3f})" if "kl" in row else "-",
            "no" if is_blind(row) else "yes",
        ]
        for row in rows
    ]
    return titles, lines


def percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"
