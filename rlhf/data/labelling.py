"""Demonstrations and preference pairs: written by a generator of completions, labelled by a gold
reward."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlhf.data.conversations import Turns, asked, shown
from rlhf.data.records import DataError, Demonstration, Preference, Reward


class Response(NamedTuple):
    text: str
    ended: bool = True  # False: cut off at the length


def write_rows(
    prompts: Sequence[str],
    complete: Callable[[str, random.Random], str],
    gold: Reward,
    *,
    demonstrations: int,
    pairs: int,
    temperature: float,
    seed: int,
) -> tuple[list[Demonstration], tuple[Preference, ...]]:
    """Demonstrations, and labelled pairs of two different completions, of prompts drawn at random;
    `complete(prompt, rng)` writes a completion.

    Draws come from one generator a purpose, each seeded by `seed`: more pairs leave the
    demonstrations as they are.
    """
    rng = random.Random(f"{seed}/demonstrations")
    demonstrated = [
        Demonstration(prompt=asked(prompt), completion=complete(prompt, rng))
        for prompt in rng.choices(prompts, k=demonstrations)
    ]
    rng = random.Random(f"{seed}/preferences")
    drawn = rng.choices(prompts, k=pairs)
    first = [complete(prompt, rng) for prompt in drawn]

    def another(prompt: str, text: str) -> str:
        while (other := complete(prompt, rng)) == text:
            pass
        return other

    second = [another(prompt, text) for prompt, text in zip(drawn, first, strict=True)]
    asked_for = [*map(asked, drawn)]
    labelled = label_pairs(asked_for, first, second, gold, temperature=temperature, seed=seed)
    return demonstrated, labelled


def label_pairs(
    prompts: Sequence[Turns],
    first: Sequence[Response | str],
    second: Sequence[Response | str],
    gold: Reward,
    *,
    temperature: float,
    seed: int,
    ties: bool = True,
) -> tuple[Preference, ...]:
    """Labels by Bradley-Terry: P(first preferred) = sigmoid((gold(first) - gold(second)) /
    temperature).

    At temperature 0 the better one is always preferred. Pairs of equal responses say nothing and
    are left out, and so are pairs that gold cannot tell apart unless `ties` (their label is a coin
    flip). The draw of a pair depends on the seed and on its position in the sequence. `gold` sees
    one prompt and one response a row. A plain string ended. Raises DataError where gold is no
    finite number.
    """
    sides = [
        [Response(item) if isinstance(item, str) else item for item in side]
        for side in (first, second)
    ]
    texts = [*map(shown, prompts)]
    scores = [gold(texts, [response.text for response in side]) for side in sides]
    if faults := [
        f"the gold reward of {response.text!r} to {text!r} is {score}: expected a finite number"
        for side, of_side in zip(sides, scores, strict=True)
        for text, response, score in zip(texts, side, of_side, strict=True)
        if not math.isfinite(score)
    ]:
        raise DataError(faults)
    preferences = [
        None if a == b and not ties else preferred(a - b, temperature)
        for a, b in zip(*scores, strict=True)
    ]
    return voted(prompts, sides[0], sides[1], preferences, seed=seed)


def voted(
    prompts: Sequence[Turns],
    first: Sequence[Response],
    second: Sequence[Response],
    preferences: Sequence[float | None],
    *,
    seed: int,
) -> tuple[Preference, ...]:
    """Pairs in which the first is the chosen one with the probability `preferences` says.

    Left out are pairs of equal responses, and those of which it says None. The draw of a pair
    depends on the seed and on its position in the sequence.
    """
    rng, pairs = random.Random(f"{seed}/labels"), []
    for prompt, a, b, preference in zip(prompts, first, second, preferences, strict=True):
        draw = rng.random()
        if a == b or preference is None:
            continue
        better, worse = (a, b) if draw < preference else (b, a)
        pairs.append(
            Preference(
                prompt=prompt,
                chosen=better.text,
                rejected=worse.text,
                chosen_ended=better.ended,
                rejected_ended=worse.ended,
            )
        )
    return tuple(pairs)


def preferred(difference: float, temperature: float) -> float:
    """sigmoid(difference / temperature); 0, 1/2 or 1 at temperature 0."""
    if temperature == 0:
        return 0.5 + 0.5 * ((difference > 0) - (difference < 0))
    x = max(-700.0, min(700.0, difference / temperature))
    return 1 / (1 + math.exp(-x))
