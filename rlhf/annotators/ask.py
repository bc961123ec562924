"""What an annotator says of comparisons: one number from 0 to 1 for each, or a sentence that tells
what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rlhf.annotators.base import Annotator, Comparison
from rlhf.annotators.endpoint.budget import Unreachable
from rlhf.rundir.errors import RunFailed


def asked(
    annotator: Annotator, comparisons: Sequence[Comparison], draws: torch.Generator | None
) -> Tensor:
    """[N] float64: the annotator's preferences.

    Raises:
        RunFailed: it gives anything but one number from 0 to 1 for each.
    """
    return _sound(annotator, annotator.prefer(comparisons, draws), len(comparisons))


def in_given_order(annotator: Any, comparisons: Sequence[Comparison]) -> Tensor:
    """[N] float64: the preferences for the answers shown first, each comparison in the order it
    has, flips in them, nothing drawn. One whose own answer is the mean of both orders says in
    `shown_first` what it makes of each.

    Raises:
        RunFailed: it gives anything but one number from 0 to 1 for each.
    """
    shown_first = getattr(annotator, "shown_first", None)
    if shown_first is None:
        return asked(annotator, comparisons, None)
    return _flipped(annotator, _sound(annotator, shown_first(comparisons), len(comparisons)))


def with_members(
    annotator: Any, comparisons: Sequence[Comparison]
) -> dict[str | None, Tensor | Unreachable]:
    """The same, under None, and beside it that of each member of a pool by its name: each is asked
    once for both. In place of what cannot be had stands why.

    Raises:
        RunFailed: as above.
    """
    each_of = getattr(annotator, "each_shown_first", None)
    members: dict[str | None, Any] = {} if each_of is None else each_of(comparisons)
    whole: Tensor | Unreachable
    try:
        if members:
            mean = _sound(annotator, annotator.together(members), len(comparisons))
            whole = _flipped(annotator, mean)
        else:
            whole = in_given_order(annotator, comparisons)
    except Unreachable as error:
        whole = error
    return {None: whole, **members}


def _flipped(annotator: Any, given: Tensor) -> Tensor:
    flip: float = getattr(annotator, "flip", 0.0)
    return given + flip * (1 - 2 * given)


def _sound(annotator: Any, preferences: Any, count: int) -> Tensor:
    given = torch.as_tensor(preferences, dtype=torch.float64).cpu()
    name = getattr(annotator, "name", type(annotator).__name__)
    if given.shape != (count,):
        raise RunFailed(
            f"annotator={name} gave numbers of the shape {tuple(given.shape)} for {count}"
            f" comparisons: expected one each, ({count},)"
        )
    wrong = ~((given >= 0) & (given <= 1))
    if wrong.any():
        raise RunFailed(
            f"annotator={name} gave the preference {float(given[wrong][0])}: expected 1 for the"
            " first answer, 0 for the second, or a number between"
        )
    return given
