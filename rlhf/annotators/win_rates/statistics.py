"""Win rates with their standard errors, from preferences for a policy's answers over a baseline's.

Each prompt counts once, however many comparisons it has: its preference is the mean of them. The
standard errors are over prompts, s / sqrt(prompts): for prompts like these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# of the length effect: a normal prior with mean 0 and variance 10 (C of scikit-learn). It binds
# where lengths alone tell the two sides apart: without it there would be no end to the fit
PRIOR_VARIANCE = 10.0
TIE, ROUNDING = 0.5, 1e-12  # a mean of several preferences of 1/2 may be off by its rounding


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """`mean`: the preference for the policy, 0 to 1, 0.5 where neither is better. `se`: its
    standard error, NaN where fewer than 2 prompts were asked."""

    mean: float
    se: float


def win_rate(preferences: Tensor, groups: Tensor) -> WinRate:
    """The mean over prompts of the preference for the policy, ties a half.

    Args:
        preferences: [B] of each comparison, 0 to 1.
        groups: [B] the prompt of each (rlhf.functional.standard_errors.groups_of).
    """
    by_prompt = _by_prompt(preferences.double(), groups)
    spread = by_prompt.std(correction=1) / math.sqrt(len(by_prompt)) if len(by_prompt) > 1 else None
    return WinRate(mean=float(by_prompt.mean()), se=math.nan if spread is None else float(spread))


@dataclass(frozen=True, kw_only=True)
class PositionBias:
    """What the order in which two answers are shown does to a verdict.

    `changed`: the share of comparisons whose verdict (first, second or tie) is another one where
    the two are swapped. `first_place`: the mean preference for whichever stands first; 0.5 where
    order says nothing.
    """

    changed: float
    first_place: float


def position_bias(policy_first: Tensor, policy_second: Tensor) -> PositionBias:
    """Both [B] are preferences for the policy's answer: where it was shown first, and second. Where
    nobody was asked order says nothing."""
    first, second = policy_first.double(), policy_second.double()
    if len(first) == 0:
        return PositionBias(changed=0.0, first_place=TIE)
    changed = _verdicts(first) != _verdicts(second)
    return PositionBias(
        changed=float(changed.double().mean()),
        first_place=float((first + 1 - second).mean() / 2),
    )


def ties(preferences: Tensor) -> float:
    """The share of comparisons [B] in which neither is preferred: 0.5 up to rounding."""
    return float((_verdicts(preferences.double()) == 0).double().mean())


def _verdicts(preferences: Tensor) -> Tensor:
    """[B]: 1 for the policy, -1 for the baseline, 0 a tie."""
    above = preferences - TIE
    return torch.where(above.abs() <= ROUNDING, 0.0, torch.sign(above))


@dataclass(frozen=True, kw_only=True)
class LengthControlled(WinRate):
    """The win rate at equal length. `effect`: what the length term adds to the log-odds where the
    policy's answer is longer by very much (tanh = 1)."""

    effect: float


def length_controlled(preferences: Tensor, differences: Tensor, groups: Tensor) -> LengthControlled:
    """The win rate that answers of equal length would have (AlpacaEval 2, arXiv 2404.04475).

    Their model of a preference is

        logit P(policy preferred) = theta + phi * tanh(d / std(d)) + psi * gamma_x

    with d the difference of the lengths of the two answers, policy less baseline, and the win rate
    is the mean over prompts of the prediction with d = 0. `gamma_x`, the difficulty of the
    instruction x, is one number a prompt that is fitted over many models; with one policy and one
    baseline it cannot be told from the noise of that prompt's verdict, and is left out. So is
    their pull towards answers of the baseline that were made longer and shorter on purpose, which
    needs such answers. What is left is `theta` and `phi`, and the win rate is sigmoid(theta).

    The fit is logistic regression on preferences from 0 to 1, each prompt with the weight 1, theta
    free and phi with a wide normal prior (`PRIOR_VARIANCE`). The standard error is by the delta
    method from the sandwich covariance over prompts; without a length effect it is that of
    `win_rate` itself.

    Args:
        preferences: [B] for the policy, 0 to 1.
        differences: [B] of lengths, in any unit.
        groups: [B] the prompt of each comparison.
    """
    plain, y = win_rate(preferences, groups), preferences.double()
    weights = 1 / torch.bincount(groups).double()[groups]
    x = _tanh_of_standardised(differences.double())
    if not bool(x.any()) or plain.mean in (0.0, 1.0):  # no lengths differ; no odds to fit
        return LengthControlled(mean=plain.mean, se=plain.se, effect=0.0)
    theta, phi = _fitted(x, y, weights)
    p = torch.sigmoid(theta + phi * x)
    design = torch.stack([torch.ones_like(x), x], dim=1)
    information = (design * (weights * p * (1 - p)).unsqueeze(1)).T @ design
    information[1, 1] += 1 / PRIOR_VARIANCE
    scores = _summed(design * (weights * (y - p)).unsqueeze(1), groups)
    prompts, bread = len(scores), torch.linalg.inv(information)
    if prompts < 2:
        return LengthControlled(mean=_sigmoid(theta), se=math.nan, effect=phi)
    covariance = bread @ (scores.T @ scores * prompts / (prompts - 1)) @ bread
    mean = _sigmoid(theta)
    se = mean * (1 - mean) * math.sqrt(float(covariance[0, 0]))
    return LengthControlled(mean=mean, se=se, effect=phi)


def _tanh_of_standardised(differences: Tensor) -> Tensor:
    """tanh(d / std(d)) [B]; zeros where the differences do not vary, for then a length term is the
    constant's."""
    if len(differences) < 2 or float(spread := differences.std(correction=1)) == 0:
        return torch.zeros_like(differences)
    return torch.tanh(differences / spread)


def _fitted(x: Tensor, y: Tensor, weights: Tensor) -> tuple[float, float]:
    """(theta, phi). A preference of 0.7 is 0.7 of a win and 0.3 of a loss."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    features = np.concatenate([x.numpy(), x.numpy()])[:, None]
    labels = np.repeat([1, 0], len(x))
    shares = torch.cat([weights * y, weights * (1 - y)]).numpy()
    fit = LogisticRegression(C=PRIOR_VARIANCE, solver="newton-cholesky", tol=1e-10)
    fit.fit(features, labels, sample_weight=shares)
    return float(fit.intercept_[0]), float(fit.coef_[0, 0])


def _sigmoid(x: float) -> float:
    return float(torch.sigmoid(torch.tensor(x, dtype=torch.float64)))


def _by_prompt(x: Tensor, groups: Tensor) -> Tensor:
    """[B] -> [H]: the mean of each prompt."""
    return _summed(x.unsqueeze(1), groups).squeeze(1) / torch.bincount(groups)


def _summed(x: Tensor, groups: Tensor) -> Tensor:
    """[B, N] -> [H, N]: sums over each prompt."""
    return x.new_zeros(int(groups.max()) + 1, x.shape[1]).index_add_(0, groups, x)


def lengths(texts: Sequence[str]) -> Tensor:
    """[B] float64: characters, as AlpacaEval counts."""
    return torch.tensor([len(text) for text in texts], dtype=torch.float64)
