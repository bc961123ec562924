"""The sicknesses of a sweep's runs, as a section of report.md."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.compare.statistics import Sickness, Study
from rlhf.compare.text.markdown import plain


def markdown(study: Study) -> str:
    """A line for each kind, or that there is none."""
    return "## Training health\n\n" + ("\n".join(_line(*s) for s in study.sick) or study.well)


def _line(first: Sickness, others: Sequence[Sickness]) -> str:
    also = ", ".join(f"{plain(s.setting)} ({s.runs} of {s.of})" for s in others)
    return (
        f"- **{first.kind}**, {plain(first.setting)} ({first.runs} of {first.of} runs):"
        f" {first.sentence}"
    ) + (f" Also: {also}." if also else "")
