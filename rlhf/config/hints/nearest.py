"""The name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

ALIKE = 0.8  # ratio of difflib (1: equal) that is enough for the last parts alone
NEAR = 0.6  # enough if the whole names are
WHOLE = 0.75


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a.lower(), b.lower()).ratio()


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that a typist most likely meant, or None if none is near.

    Of dotted names the last parts must be alike, and among those the whole decides: `lr` finds
    `sft.optimizer.lr`, `kl.controler.targt` finds `kl.controller.target` before
    `trust_region.target`.
    """
    last = word.rpartition(".")[2]
    rated = (
        (_ratio(last, name.rpartition(".")[2]), _ratio(word, name), name)
        for name in dict.fromkeys(choices)
    )
    near = (
        (round(end, 2), whole, name)
        for end, whole, name in rated
        if end >= ALIKE or (end >= NEAR and whole >= WHOLE)
    )
    return max(near, default=(0, 0, None))[2]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    meant = nearest(word, choices)
    return f"; did you mean {meant}?" if meant else ""
