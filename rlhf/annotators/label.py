"""Preference pairs that an annotator labels."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rlhf.annotators.ask import asked
from rlhf.annotators.base import Annotator, Comparison
from rlhf.data.conversations import Prompt
from rlhf.data.labelling import Response, voted
from rlhf.data.records import Preference
from rlhf.randomness import generator


def label(
    annotator: Annotator,
    prompts: Sequence[Prompt],
    first: Sequence[Response],
    second: Sequence[Response],
    *,
    seed: int,
    ties: bool = True,
) -> tuple[Preference, ...]:
    """Pairs whose chosen response is the annotator's: drawn with the probability that it gives, or
    its vote where it draws more than votes (a pool).

    Pairs of equal responses say nothing: nobody is asked and they are left out, and so are ties
    unless `ties` (their label is a coin flip). A label depends on the seed and on the pairs up to
    its own.
    """
    sides = zip(prompts, first, second, strict=True)
    rows = [(i, *row) for i, row in enumerate(sides) if row[1] != row[2]]
    comparisons = [
        Comparison(
            prompt=prompt,
            first=a.text,
            second=b.text,
            first_ended=a.ended,
            second_ended=b.ended,
        )
        for _, prompt, a, b in rows
    ]
    draws = generator(seed, "annotator") if getattr(annotator, "needs_generator", False) else None
    preferences: list[float | None] = [None] * len(prompts)
    given = asked(annotator, comparisons, draws).tolist()
    for (i, *_), preference in zip(rows, given, strict=True):
        preferences[i] = preference if ties or preference != 0.5 else None
    return voted([prompt.turns for prompt in prompts], first, second, preferences, seed=seed)


def label_anew(
    annotator: Annotator, pairs: Sequence[Preference], *, seed: int
) -> tuple[Preference, ...]:
    """The same pairs with the annotator's labels in place of their own, which nothing of what it
    is shown tells: which response comes first is drawn. A tie is a coin flip."""
    rng, sides = random.Random(f"{seed}/order"), list[tuple[Response, Response]]()
    for pair in pairs:
        chosen = Response(pair.chosen, pair.chosen_ended)
        rejected = Response(pair.rejected, pair.rejected_ended)
        sides.append((chosen, rejected) if rng.random() < 0.5 else (rejected, chosen))
    first, second = [a for a, _ in sides], [b for _, b in sides]
    prompts = [Prompt(turns=pair.prompt) for pair in pairs]
    return label(annotator, prompts, first, second, seed=seed)
