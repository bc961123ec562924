"""A finite-state grammar of short film reviews: what may follow what, with weights, and the words
it uses.

A prompt is an opening and a subject ("i thought the plot of this film"); no prompt is the beginning
of another one. The completion is a walk from the state "subject" to "end". Arcs name a class of
words or a word itself. A clause has a tone, praise or blame, that its words of sentiment share;
"but" and "though" turn it, and "not" turns it for the next word.
"""

from __future__ import annotations

import random
import re
from functools import cache
from itertools import accumulate
from typing import NamedTuple

WORD = re.compile(r"[^\s.,]+|[.,]")  # a word or one of the two punctuation marks

OPENINGS = (
    *("", "i thought ", "i felt ", "i found ", "we thought ", "we felt "),
    *("to me ", "for me ", "frankly ", "honestly ", "in short ", "somehow "),
)
ASPECTS = (
    "plot",
    "acting",
    "story",
    "dialogue",
    "music",
    "script",
    "cast",
    "humor",
    "ending",
    "pacing",
    "scenery",
    "direction",
)
WORKS = ("film", "movie", "thriller", "comedy", "drama", "western", "sequel", "romance")

# Words of sentiment and their weights. Strong words are the rare ones.
STRONG, PLAIN, MILD = 1.5, 1.0, 0.5
RARITY = {STRONG: 0.12, PLAIN: 0.33, MILD: 0.55}
QUALITIES = {
    STRONG: (
        "brilliant superb wonderful gorgeous masterful",
        "awful dreadful terrible hopeless painful",
    ),
    PLAIN: ("funny clever moving warm charming gripping", "dull boring clumsy lazy flat silly"),
    MILD: ("good solid pleasant decent neat sweet", "slow thin uneven messy forgettable"),
}
FEELINGS = {
    STRONG: ("loved", "hated"),
    PLAIN: ("enjoyed admired", "resented disliked"),
    MILD: ("liked", "endured"),
}
REACTIONS = {STRONG: ("cheer", "cringe"), PLAIN: ("laugh", "yawn"), MILD: ("smile", "sigh")}
AMPLIFIERS = ("very", "truly", "really", "deeply")
SOFTENERS = ("rather", "fairly", "mildly", "slightly")
TURNS = ("but", "though")
PRAISE = 0.42  # share of first clauses that praise


class Arc(NamedTuple):
    words: str  # a class in CLASSES, or words as they are
    target: str
    weight: float


def _arcs(*rows: tuple[str, str, float]) -> tuple[Arc, ...]:
    return tuple(Arc(*row) for row in rows)


# Two adjectives a clause at most, two clauses at most.
STATES: dict[str, tuple[Arc, ...]] = {
    "subject": _arcs(("BE", "be", 1)),
    "be": _arcs(("QUALITY", "one", 0.57), ("DEGREE", "degree", 0.35), ("not", "degree", 0.08)),
    "degree": _arcs(("QUALITY", "one", 1)),
    "one": _arcs(
        (".", "end", 0.2),
        ("and", "and", 0.3),
        (",", "comma", 0.35),
        ("to", "to", 0.08),
        ("in", "in", 0.07),
    ),
    "and": _arcs(("QUALITY", "two", 0.7), ("DEGREE", "degree two", 0.3)),
    "degree two": _arcs(("QUALITY", "two", 1)),
    "two": _arcs((".", "end", 0.4), (",", "comma", 0.45), ("to", "to", 0.08), ("in", "in", 0.07)),
    "to": _arcs(("the", "to the", 1)),
    "to the": _arcs(("end", "adjunct", 1)),
    "in": _arcs(("every", "every scene", 1)),
    "every scene": _arcs(("scene", "adjunct", 1)),
    "adjunct": _arcs((".", "end", 0.6), (",", "comma", 0.4)),
    "comma": _arcs(("and", "clause", 0.3), ("TURN", "clause", 0.5), ("which", "which", 0.2)),
    "clause": _arcs(("the", "the", 0.6), ("i we", "person", 0.4)),
    "the": _arcs(("ASPECT", "second subject", 1)),
    "second subject": _arcs(("BE", "second be", 1)),
    "second be": _arcs(("QUALITY", "second", 0.65), ("DEGREE", "second degree", 0.35)),
    "second degree": _arcs(("QUALITY", "second", 1)),
    "second": _arcs((".", "end", 0.8), ("and", "second and", 0.2)),
    "second and": _arcs(("QUALITY", "last", 1)),
    "person": _arcs(("FEELING", "object", 1)),
    "object": _arcs(
        ("it", "last", 0.4), ("every", "every minute", 0.3), ("the", "object the", 0.3)
    ),
    "every minute": _arcs(("minute", "last", 1)),
    "object the": _arcs(("ASPECT", "last", 1)),
    "which": _arcs(("made", "made", 1)),
    "made": _arcs(("me us", "whom", 1)),
    "whom": _arcs(("REACTION", "last", 1)),
    "last": _arcs((".", "end", 1)),
    "end": (),
}
PLAIN_CLASSES = {
    "BE": ("was", "is", "felt", "seemed"),
    "DEGREE": AMPLIFIERS + SOFTENERS,
    "TURN": TURNS,
    "ASPECT": ASPECTS,
}
SENTIMENT_CLASSES = {"QUALITY": QUALITIES, "FEELING": FEELINGS, "REACTION": REACTIONS}

WEIGHTS: dict[str, float] = {
    word: sign * size
    for table in SENTIMENT_CLASSES.values()
    for size, sides in table.items()
    for sign, side in zip((1, -1), sides, strict=True)
    for word in side.split()
}
CONTENT = (
    frozenset(WEIGHTS)
    | frozenset(ASPECTS)
    | frozenset(WORKS)
    | frozenset(AMPLIFIERS)
    | frozenset(SOFTENERS)
)


def spell(words: str) -> tuple[str, ...]:
    """The words of a class, or the words as they are."""
    if words in PLAIN_CLASSES:
        return PLAIN_CLASSES[words]
    if words in SENTIMENT_CLASSES:
        return tuple(
            word
            for sides in SENTIMENT_CLASSES[words].values()
            for side in sides
            for word in side.split()
        )
    return tuple(words.split())


# STEPS[state][word] = the next state. Every word leaves a state by one arc at most.
STEPS: dict[str, dict[str, str]] = {
    state: {w: arc.target for arc in arcs for w in spell(arc.words)}
    for state, arcs in STATES.items()
}
LANDINGS: dict[str, frozenset[str]] = {
    word: frozenset(steps[word] for steps in STEPS.values() if word in steps)
    for word in {w for steps in STEPS.values() for w in steps}
}


def all_prompts() -> tuple[str, ...]:
    """Every prompt that there is, in a fixed order: openings x (works + aspects x works)."""
    subjects = [f"this {work}" for work in WORKS] + [
        f"the {aspect} of this {work}" for aspect in ASPECTS for work in WORKS
    ]
    return tuple(opening + subject for opening in OPENINGS for subject in subjects)


def breaks(words: list[str], state: str = "subject") -> int:
    """How many words the grammar could not have written after the words before them, beginning in
    `state`.

    After such a word every state that it can lead to is possible, so one slip counts once.
    """
    states: frozenset[str] | set[str] = {state}
    count = 0
    for word in words:
        following = {STEPS[s][word] for s in states if word in STEPS[s]}
        if not following:
            count += 1
        states = following or LANDINGS.get(word, frozenset())
    return count


@cache
def _choices(words: str, praise: bool) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The words of the class that have the clause's tone, where it has one, and their summed
    weights."""
    if words not in SENTIMENT_CLASSES:
        plain = spell(words)
        return plain, tuple(accumulate(1.0 for _ in plain))
    sides = {
        size: both[0 if praise else 1].split() for size, both in SENTIMENT_CLASSES[words].items()
    }
    return (
        tuple(word for side in sides.values() for word in side),
        tuple(accumulate(RARITY[size] / len(side) for size, side in sides.items() for _ in side)),
    )


ARC_WEIGHTS = {
    state: tuple(accumulate(arc.weight for arc in arcs)) for state, arcs in STATES.items()
}


def complete(prompt: str, rng: random.Random) -> str:
    """A completion of `prompt`: begins with a space, ends with a full stop. No content word
    comes twice, the prompt's included."""
    used = {word for word in WORD.findall(prompt) if word in CONTENT}
    state, praise, text, last = "subject", rng.random() < PRAISE, "", ""
    while state != "end":
        arc = rng.choices(STATES[state], cum_weights=ARC_WEIGHTS[state])[0]
        words, weights = _choices(arc.words, praise != (last == "not"))
        while (word := rng.choices(words, cum_weights=weights)[0]) in used:
            pass
        praise = praise != (word in TURNS)
        used |= {word} & CONTENT
        text += word if word in ".," else f" {word}"
        state, last = arc.target, word
    return text
