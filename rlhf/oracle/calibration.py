"""How good an estimate is: its bias, its spread, and whether its 95 % interval holds the truth
as often as it says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.functional.standard_errors import mean_and_error, ratio_and_error

Z95 = 1.959964  # of the normal interval: estimate +- Z95 * se


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Of one estimate made of n responses. `expected` and `std` of a mean are exact sums; of a
    ratio they are those of the repeats."""

    truth: float
    expected: float  # E[estimate]
    std: float  # of the estimate from n responses
    se: float  # the mean of the standard errors that the n responses gave
    coverage: float  # share of the repeats whose interval estimate +- 1.96 se holds the truth

    @property
    def bias(self) -> float:
        return self.expected - self.truth


def draw(logp: Tensor, n: int, repeats: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Responses as an evaluation draws them: n / X to each of X prompts, `repeats` times over.

    logp [X, N] of all responses -> which of X * N was drawn, and the prompt of each column:
    [repeats, n], [n]. Raises ValueError where X does not divide n.
    """
    prompts, listed = logp.shape
    if n % prompts:
        raise ValueError(f"{n} responses are not the same number for each of {prompts} prompts")
    each = n // prompts
    drawn = torch.multinomial(
        logp.double().exp(), repeats * each, replacement=True, generator=generator
    )
    rows = drawn + listed * torch.arange(prompts).unsqueeze(1)
    index = rows.view(prompts, repeats, each).transpose(0, 1).reshape(repeats, n)
    return index, torch.arange(prompts).repeat_interleave(each)


def calibrate_mean(
    values: Tensor, logp: Tensor, truth: float, index: Tensor, groups: Tensor
) -> Calibration:
    """An estimate that is the mean of a value of each response: values, logp [X, N]; index [R, n]
    and groups [n] of `draw`.

        E = mean_x sum_y pi(y|x) v(x,y)        std = sqrt(mean_x Var_{y|x}[v] / n)

    The coverage is over the R repeats.
    """
    values, weight = values.double(), logp.double().exp()
    weight = weight / weight.sum(dim=-1, keepdim=True)
    means = (weight * values).sum(dim=-1, keepdim=True)
    variance = (weight * (values - means).square()).sum(dim=-1)
    estimates, error = mean_and_error(values.flatten()[index], groups)
    return Calibration(
        truth=truth,
        expected=float(means.mean()),
        std=float((variance.mean() / index.shape[1]).sqrt()),
        se=float(error.mean()),
        coverage=_coverage(estimates, error, truth),
    )


def calibrate_ratio(
    totals: Tensor, counts: Tensor, truth: float, index: Tensor, groups: Tensor
) -> Calibration:
    """An estimate that is a sum over a sum (nats per token): totals, counts [X, N]; bias and std
    are those of the repeats."""
    estimates, error = ratio_and_error(
        totals.double().flatten()[index], counts.flatten()[index], groups
    )
    return Calibration(
        truth=truth,
        expected=float(estimates.mean()),
        std=float(estimates.std(correction=1)),
        se=float(error.mean()),
        coverage=_coverage(estimates, error, truth),
    )


def _coverage(estimates: Tensor, error: Tensor, truth: float) -> float:
    return float(((estimates - truth).abs() <= Z95 * error).double().mean())
