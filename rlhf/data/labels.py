"""Preference pairs from pairs of responses and a gold reward."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from rlhf.data.records import Preference, Reward


def label_pairs(
    prompts: Sequence[str], first: Sequence[str], second: Sequence[str], gold: Reward, *, temperature: float, seed: int
) -> tuple[Preference, ...]:
    """Labels by Bradley-Terry: P(first preferred) = sigmoid((gold(first) - gold(second)) / temperature).

    At temperature 0 the better one is always preferred. Pairs of equal responses say nothing and are left out. The draw of a
    pair depends on the seed and on its position in the sequence. `gold` sees one prompt and one response a row.
    """
    rng = random.Random(f"{seed}/labels")
    pairs = []
    for prompt, a, b, gold_a, gold_b in zip(prompts, first, second, gold(prompts, first), gold(prompts, second), strict=True):
        draw = rng.random()
        if a == b:
            continue
        chosen, rejected = (a, b) if draw < preferred(gold_a - gold_b, temperature) else (b, a)
        pairs.append(Preference(prompt=prompt, chosen=chosen, rejected=rejected))
    return tuple(pairs)


def preferred(difference: float, temperature: float) -> float:
    """sigmoid(difference / temperature); 0, 1/2 or 1 at temperature 0."""
    if temperature == 0:
        return 0.5 + 0.5 * ((difference > 0) - (difference < 0))
    x = max(-700.0, min(700.0, difference / temperature))
    return 1 / (1 + math.exp(-x))
