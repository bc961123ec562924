"""Sentences on settings whose responses never end: gold reward does not see that, and the score
that is maximised does."""

from __future__ import annotations

import math

from rlhf.compare.read import named, series
from rlhf.compare.statistics import Findings, Setting, Study, brief, setting_interval
from rlhf.metrics import ENDED, SCORE


def endless(study: Study, findings: Findings) -> str:
    """Where no setting's responses end: nothing is called best."""
    best = findings.best
    shares = [1 - s[ENDED].mean for s in study.settings]
    most = f"{min(shares):.0%}" + f" to {max(shares):.0%}" * (max(shares) - min(shares) > 0.005)
    return (
        f"{most} of the responses to held-out prompts have no EOS{_sft(best)}. {best.label} has the"
        f" highest {named(findings.key)}, {brief(setting_interval(best, findings.key))}, which does"
        f" not count that; {_score(best)}."
    )


def left_out(study: Study, findings: Findings) -> str:
    """The settings that have more reward than the best and are not called so."""
    key = findings.key
    higher = higher_without_end(study, findings)
    if not higher:
        return ""
    first, *others = higher
    more = f" The same holds for {', '.join(s.label for s in others)}." if others else ""
    return (
        f"{first.label} has more {named(key)}, {brief(setting_interval(first, key))}, but"
        f" {1 - first[ENDED].mean:.0%} of its responses have no EOS{_sft(first)}; {_score(first)}."
        f"{more}"
    )


def higher_without_end(study: Study, findings: Findings) -> list[Setting]:
    """The settings with more reward than the best whose responses never end, the highest first."""
    key = findings.key
    higher = [s for s in study.settings if s.never_ends and s[key].mean > findings.best[key].mean]
    return sorted(higher, key=lambda s: -s[key].mean)


def _sft(setting: Setting) -> str:
    starts = (points[0][1] for run in setting.runs if (points := series(run, f"eval/{ENDED}")))
    start = next(starts, math.nan)
    return f" (SFT: {1 - start:.0%})" if math.isfinite(start) else ""


def _score(setting: Setting) -> str:
    """The score that a setting maximised, and SFT's."""
    scores = (points[0][1] for run in setting.runs if (points := series(run, f"eval/{SCORE}")))
    start = next(scores, math.nan)
    beside = f" (SFT: {start:.3g})" if math.isfinite(start) else ""
    return f"the score that is maximised is {brief(setting_interval(setting, SCORE))}{beside}"
