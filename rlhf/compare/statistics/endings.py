"""Runs whose responses never end: gold reads what is there, and does not see it."""

from __future__ import annotations

from rlhf.compare.read import Run, series
from rlhf.metrics import ENDED

UNENDED = 0.5  # share of responses without EOS
FEWER = 0.5  # with EOS, over SFT's share: data whose responses are cut anyway are no sickness


def never_ends(run: Run) -> bool:
    """Whether most of the final policy's responses to held-out prompts have no EOS, and fewer than
    half as many have one as of SFT's."""
    ended = series(run, f"eval/{ENDED}")
    if not ended:
        return False
    start, end = ended[0][1], ended[-1][1]
    return 1 - end > UNENDED and end < FEWER * start
