"""The answer of a text, as GSM8K and its like are marked: exact after normalising, or as a number.
Pure, no torch."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

MARK = "####"  # GSM8K (Cobbe et al. 2021, arXiv 2110.14168): the answer stands behind it
# 1,234,567.5  .5  3/4  6e3  -$2; a sign counts where no digit, letter or bracket stands before it
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]])[-+])?[$£€¥]?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?![\d,]\d)|\d+)?(?P<part>\.\d+)?"
    r"(?P<power>[eE][-+]?\d{1,3}(?!\w))?(?:\s?/\s?(?P<under>\d+)(?![\d.,/]))?"
)
_SPACES = re.compile(r"\s+")
_AROUND = " \t\n\"'`*_.,;:!?()[]{}$"
_BOXED = "\\boxed{"


def final(text: str) -> str:
    """What stands behind the last `####`, else in the last `\\boxed{...}`, else the whole text."""
    if MARK in text:
        return text.rpartition(MARK)[2].strip()
    if _BOXED in text:
        inside = text.rpartition(_BOXED)[2]
        return _up_to_brace(inside)
    return text.strip()


def _up_to_brace(text: str) -> str:
    depth = 1
    for i, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if not depth:
            return text[:i]
    return text


def normalised(text: str) -> str:
    """The final answer in one spelling: NFKC, no capitals, single spaces, no quotes, brackets or
    stops around it."""
    plain = unicodedata.normalize("NFKC", final(text)).casefold()
    return _SPACES.sub(" ", plain).strip(_AROUND)


def last_number(text: str) -> Fraction | None:
    """The last number of the final answer, exactly; None where there is none.

    Thousands have commas or none, and what stands around the digits (units, currencies, %) is no
    part of it: `$1,234.50`, `42`, `42.0`, `-3 apples`, `3/4`, `6e3`.
    """
    plain = unicodedata.normalize("NFKC", final(text)).replace("\u2212", "-")
    numbers = [m for m in _NUMBER.finditer(plain) if m["whole"] or m["part"]]
    if not numbers:
        return None
    match = numbers[-1]
    parts = (match["whole"] or "0").replace(",", ""), match["part"] or "", match["power"] or ""
    try:
        number = Fraction("".join(parts)) / (int(match["under"] or 1) or 1)
    except ValueError:  # more digits than Python reads: thousands
        return None
    return -number if match["sign"] == "-" else number


def equal(response: str, reference: str, form: str) -> bool:
    """True where the final answers are the same: `exact`, `numeric`, or `either` of the two."""
    exact = normalised(response) == normalised(reference)
    number = last_number(reference)
    numeric = number is not None and last_number(response) == number
    return {"exact": exact, "numeric": numeric, "either": exact or numeric}[form]
