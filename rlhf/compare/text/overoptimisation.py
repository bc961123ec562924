"""Whether the reward model was gamed, in words."""

from __future__ import annotations

import math

from rlhf.compare.read import series
from rlhf.compare.statistics import Findings, show
from rlhf.metrics import GOLD, PROXY


def over_optimisation(findings: Findings) -> str:
    """Whether gold fell while proxy rose: between settings, and along training."""
    if findings.key != GOLD:
        return (
            "There is no gold reward here, so over-optimisation cannot be seen; proxy alone does"
            " not show it."
        )
    along, top = _along(findings), findings.top
    if findings.gamed is None and along:
        return f"Over-optimisation is visible along training.{along}"
    if top is None:
        return "No reward model took part, so there was nothing to over-optimise."
    if not math.isfinite(findings.drop):
        return (
            f"{top.label} has the highest proxy reward and no finite gold reward: whether it"
            " over-optimised cannot be seen."
        )
    if findings.gamed is not None:
        return _between(findings) + along
    if not findings.alone:
        return (
            "No over-optimisation is visible: the setting with the highest proxy reward has the"
            " highest gold reward too."
        )
    if not any(len(series(run, f"eval/{GOLD}")) > 1 for run in top.runs):
        return (
            "With one setting, and no gold reward along its training, over-optimisation cannot"
            " be seen."
        )
    return (
        "No over-optimisation is visible along the training of this one setting: gold did not"
        " clearly fall while proxy held."
    )


def _along(findings: Findings) -> str:
    fall = findings.fall
    if fall is None:
        return ""
    return (
        f" In {fall.run}, gold was {show(fall.best)} at iteration {fall.iteration} ({fall.kl:.3g}"
        f" nats) and ended at {show(fall.last)} while proxy did not fall."
    )


def _between(findings: Findings) -> str:
    assert findings.gamed is not None
    where = (
        f"{findings.gamed.label} has the highest proxy reward ({show(findings.gamed[PROXY])}), and"
        f" its gold reward lies {findings.drop:.3g}"
    )
    if findings.clear:
        size = (
            f"{findings.drop_gap:.1f} standard errors"
            if math.isfinite(findings.drop_gap)
            else "with no noise measured"
        )
        return f"Over-optimisation is visible: {where} ({size}) below the best."
    sure = (
        "whether that is more than noise is not known"
        if math.isnan(findings.drop_gap)
        else "which is within the noise"
    )
    return f"Over-optimisation is not clear: {where} below the best, {sure}."
