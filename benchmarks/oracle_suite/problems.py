"""The rule by which the problems of the oracle's suite are drawn. It was written, and kept, before
any algorithm was run on them (docs/records/oracle_suite.md).

Eight problems, numbered 1 to 8. Each column of `LEVELS` has eight places, its values as often as
they stand there; `random.Random("oracle suite/<column>")` shuffles each column by itself, and the
i-th problem has the i-th value of every column, and `data.seed` = i. Nothing is drawn again and
nothing is left out: prompts that overlap, best responses that are never drawn and rewards of which
an error is the best part stay as they come.
"""

from __future__ import annotations

import random
from typing import Any

COUNT = 8
BETAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

# A problem and a coefficient cannot tell beta from 2 beta where the optimum at 2 beta has so much
# of the gain at beta; and no KL term at all is needed where the best response alone has it.
BLIND = 0.99
# An algorithm solves a problem where its share of the gain is at least so much of that of exact
# gradient ascent, at every coefficient of JUDGED, in the median over the seeds.
SOLVED = 0.99
JUDGED = tuple(beta for beta in BETAS if beta >= 0.1)

LEVELS: dict[str, tuple[Any, ...]] = {
    # letters, and tokens of a response with its EOS: 259 to 1,464 responses a prompt (the
    # tokenizer's padding is a token too)
    "size": ((2, 6), (3, 5), (4, 4), (3, 4), (5, 3), (6, 3), (8, 3), (10, 3)),
    "prompts": (2, 2, 4, 4, 4, 6, 6, 6),  # a quarter of them, one at least, is held out
    # of the reference: how peaked, how soon it ends
    "peak": (0.5, 0.5, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0),
    "stop": (0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 0.3),
    # a response that is worth 2 more as a whole alone: a likely one of the corpus, or any
    "word": ("none", "none", "none", "none", "likely", "likely", "any", "any"),
    # of the reward: Student's t with two degrees of freedom, whose variance is infinite
    "error": (0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.3, 0.3),
}


def problems() -> dict[int, dict[str, Any]]:
    """The settings of `data=micro` that make each problem, by its number."""
    columns = {}
    for name, levels in LEVELS.items():
        column = [*levels]
        random.Random(f"oracle suite/{name}").shuffle(column)
        columns[name] = column
    drawn = {}
    for i in range(COUNT):
        own = {name: column[i] for name, column in columns.items()}
        vocabulary, length = own.pop("size")
        drawn[i + 1] = {
            "seed": i + 1,
            "vocabulary": vocabulary,
            "max_response_tokens": length,
            **own,
        }
    return drawn
