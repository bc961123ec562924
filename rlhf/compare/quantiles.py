"""Quantiles and tails of Student's t, chi-squared and the studentized range. By scipy.special: the
import of scipy.stats takes a third of a CPU second, and each quantile of its range a tenth."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAIL = 1e-12  # of the scale's distribution, left out of the integral
STEP = 0.05  # of log s, and half of that of z: the trapezoids' error is below 1e-9 of the quantile
LEAST = 64  # values of s, where its distribution is narrow
CLOSE = 1e-10  # in standard errors of a normal: where the search for a quantile ends


@lru_cache(maxsize=1024)
def student(p: float, df: float) -> float:
    """The p quantile of Student's t; of the normal distribution where `df` is infinite."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(p) if math.isinf(df) else stdtrit(df, p))


def student_two_sided(t: float, df: float) -> float:
    """P(|T| > |t|) of Student's t."""
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t)))


def chi2_above(x: float, df: float) -> float:
    """P(X > x) of chi-squared."""
    from scipy.special import chdtrc

    return float(chdtrc(df, x))


@lru_cache(maxsize=1024)
def studentized_range(p: float, means: int, df: float) -> float:
    """The p quantile of the range of so many independent normal means over their standard error,
    which is estimated with `df` degrees of freedom (infinite: known). For p above a half.

    Found by secants on a scale on which P is nearly straight: normal quantiles of it against log q.
    Within 1e-8 of scipy.stats.studentized_range.
    """
    from scipy.special import ndtri

    below, goal = _range_below(means, df), float(ndtri(p))

    def off(log_q: float) -> float:
        return float(ndtri(min(max(below(math.exp(log_q)), 1e-15), 1 - 1e-15))) - goal

    last, here = 1.0, 1.5
    was, now = off(last), off(here)
    while abs(now) > CLOSE and now != was:
        last, here, was = here, here - now * (here - last) / (now - was), now
        now = off(here)
    return math.exp(here)


def _range_below(means: int, df: float) -> Callable[[float], float]:
    """q -> P(range / s <= q) = E_s[k int phi(z) (Phi(z) - Phi(z - q s))^(k-1) dz], k means and
    df s^2 chi-squared (Copenhaver and Holland 1988). Both integrals by the trapezoid rule, which is
    all but exact for functions that vanish at both ends: over z, and over log s."""
    import numpy as np
    from scipy.special import ndtr

    z = np.arange(-8.0, 8.0, 2 * STEP)
    density = means * 2 * STEP * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    whole, (s, share) = ndtr(z), _scales(df)

    def below(q: float) -> float:
        within = (whole - ndtr(z - q * s[:, None])) ** (means - 1)
        return float(share @ (within @ density))

    return below


def _scales(df: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values of s, where df s^2 is chi-squared, evenly apart in log s, and the share of each."""
    import numpy as np
    from scipy.special import gammainccinv, gammaincinv, gammaln

    if math.isinf(df):
        return np.ones(1), np.ones(1)
    half = df / 2
    ends = gammaincinv(half, TAIL), gammainccinv(half, TAIL)  # of df s^2 / 2, a gamma variable
    low, high = (0.5 * math.log(end / half) for end in ends)
    log_s, step = np.linspace(low, high, LEAST + round((high - low) / STEP), retstep=True)
    gamma = half * np.exp(2 * log_s)
    return np.exp(log_s), 2 * step * np.exp(half * np.log(gamma) - gamma - gammaln(half))
