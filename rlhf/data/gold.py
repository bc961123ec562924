"""Gold rewards: what a reader would want, computed from the text. A reward model learns a stand-in
for them.

Both are cheap: some ten thousand short texts a second.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from rlhf.data.sources.grammar import AMPLIFIERS, CONTENT, SOFTENERS, WEIGHTS, WORD, breaks

POSITIVE_LIMIT = 3.0
FLUENT_LIMIT = 5.0
REPEAT_LIMIT = 5.0
UNFINISHED = 1.5
REPEAT = 0.75
# of a word's weight, by the word before it
FACTORS = {**dict.fromkeys(AMPLIFIERS, 1.4), **dict.fromkeys(SOFTENERS, 0.6), "not": -0.5}


def saturate(x: float, limit: float) -> float:
    """limit * tanh(x / limit): x while it is small, never beyond the limit."""
    return limit * math.tanh(x / limit)


def sentiment(words: Sequence[str]) -> float:
    """The sum of the lexicon's weights (-1.5 to 1.5). A word said twice counts once, where it came
    first.

    The word before changes it: times 1.4 after "very" and its like, 0.6 after "rather" and its
    like, -0.5 after "not".
    """
    total, seen = 0.0, set()
    for before, word in zip(("", *words), words, strict=False):
        if word in WEIGHTS and word not in seen:
            seen.add(word)
            total += FACTORS.get(before, 1.0) * WEIGHTS[word]
    return total


class ReviewGold:
    """Gold of a review: positive, fluent, not repetitive. Unit: about one standard deviation of the
    grammar's own sentences.

        gold = s(sentiment, 3) - s(1.0 * breaks + 1.5 * unfinished, 5) - s(0.75 * repeats, 5),
        s(x, limit) = limit * tanh(x / limit)

    `sentiment` is the function above on the response. `breaks` counts the words that the grammar
    could not have written after the words before them. `unfinished` is 1 where the response does
    not end with a full stop. `repeats` counts the content words that came before in the prompt or
    the response (three times "great" are two repeats). The grammar's own sentences have no break
    and no repeat, so preference pairs among them say nothing about the last two terms.
    """

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        return [
            self.score(prompt, response)
            for prompt, response in zip(prompts, responses, strict=True)
        ]

    def score(self, prompt: str, response: str) -> float:
        words = WORD.findall(response)
        content = Counter(word for word in words if word in CONTENT)
        before = Counter(word for word in WORD.findall(prompt) if word in CONTENT)
        repeats = (
            (content + before).total() - len(content | before) - (before.total() - len(before))
        )
        unfinished = 0.0 if words and words[-1] == "." else UNFINISHED
        return (
            saturate(sentiment(words), POSITIVE_LIMIT)
            - saturate(breaks(words) + unfinished, FLUENT_LIMIT)
            - saturate(REPEAT * repeats, REPEAT_LIMIT)
        )


class VaderGold:
    """VADER's compound sentiment of prompt + response, times 2, so from -2 to 2. (Hutto and Gilbert
    2014, package vaderSentiment.)

    VADER's rules turn the words' summed valence v into v / sqrt(v^2 + 15). Twice that spreads by
    about one unit over film reviews.

    Args:
        between: what stands between the two; nothing where the response goes on in the prompt's
            line, else the last word of the one and the first of the other would be read as one.
    """

    scale = 2.0

    def __init__(self, between: str = "") -> None:
        self.between = between

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        texts = [self.between.join(pair) for pair in zip(prompts, responses, strict=True)]
        return [self.scale * compound(text) for text in texts]


def compound(text: str) -> float:
    """VADER's compound sentiment of a text, from -1 to 1."""
    return float(_analyzer().polarity_scores(text)["compound"])


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
