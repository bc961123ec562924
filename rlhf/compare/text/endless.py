"""Sentences on settings whose responses never end: a reward that reads what is there does not see
it, and what PPO maximised does."""

from __future__ import annotations

import math

from rlhf.compare.read import series
from rlhf.compare.statistics import Findings, Setting, Study, show
from rlhf.metrics import ENDED, KL, SCORE


def endless(study: Study, findings: Findings) -> str:
    """The headline where no setting's responses end: nothing is called best."""
    best, name = findings.best, findings.key.removeprefix("reward/")
    shares = [1 - s[ENDED].mean for s in study.settings]
    most = f"{min(shares):.0%}" + f" to {max(shares):.0%}" * (max(shares) - min(shares) > 0.005)
    kl = f" at {best[KL].mean:.3g} nats" if math.isfinite(best[KL].mean) else ""
    return (
        f"No setting's responses to held-out prompts end: {most} have no EOS{_sft(best)}, so none"
        f" is called best. {best.label} has the highest {name} reward,"
        f" {show(best[findings.key])}{kl}, which does not count that; {_score(best)}."
    )


def left_out(study: Study, findings: Findings) -> str:
    """Says first which settings have more reward than the best and are not called so."""
    key, name = findings.key, findings.key.removeprefix("reward/")
    higher = [s for s in study.settings if s.never_ends and s[key].mean > findings.best[key].mean]
    if not higher:
        return ""
    first, *others = sorted(higher, key=lambda s: -s[key].mean)
    more = f" ({', '.join(s.label for s in others)} likewise)" if others else ""
    return (
        f"{first.label} has more {name} reward, {show(first[key])}, but"
        f" {1 - first[ENDED].mean:.0%} of its responses have no EOS{_sft(first)}, and"
        f" {_score(first)}{more}. Of those that end, "
    )


def _sft(setting: Setting) -> str:
    starts = (points[0][1] for run in setting.runs if (points := series(run, f"eval/{ENDED}")))
    start = next(starts, math.nan)
    return f" (SFT: {1 - start:.0%})" if math.isfinite(start) else ""


def _score(setting: Setting) -> str:
    """PPO's score of a setting, and of SFT."""
    scores = (points[0][1] for run in setting.runs if (points := series(run, f"eval/{SCORE}")))
    start = next(scores, math.nan)
    beside = f" (SFT: {start:.3g})" if math.isfinite(start) else ""
    return f"PPO's own score of them is {show(setting[SCORE])}{beside}"
