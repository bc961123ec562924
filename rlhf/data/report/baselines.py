"""What rules without a model make of preference pairs: a reward model that is no better has learned
nothing that they do not know."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlhf.data.records import Split
from rlhf.data.report.measure import Conversation, conversation, sample
from rlhf.data.report.values import Accuracy, Pairs

if TYPE_CHECKING:
    import numpy as np

MOST_FITTED, MOST_JUDGED = 10_000, 5_000  # pairs


def longer(row: Conversation) -> float:
    """1 where the chosen answer has more characters, 0 where the rejected one has, else 1/2."""
    chosen, rejected = map(len, row.answers)
    return 0.5 + 0.5 * ((chosen > rejected) - (chosen < rejected))


def accuracy(right: Sequence[float], prompts: Sequence[Hashable]) -> Accuracy | None:
    """The mean of `right` (1, 0, or 1/2 for a tie) and its standard error over prompts,

        se = sqrt(G / (G - 1) * sum_g (sum_i in g (right_i - mean))^2) / n,

    for n pairs of G prompts (Liang and Zeger 1986, with the usual correction). None of no pair.
    """
    if not right:
        return None
    mean, groups = sum(right) / len(right), defaultdict[Hashable, float](float)
    for value, prompt in zip(right, prompts, strict=True):
        groups[prompt] += value - mean
    count = len(groups)
    spread = sum(total**2 for total in groups.values())
    se = math.sqrt(count / (count - 1) * spread) / len(right) if count > 1 else None
    return Accuracy(accuracy=mean, se=se, pairs=len(right), prompts=count)


def length_bias(split: Split[Any]) -> Pairs:
    """Which side is the longer one, over all pairs; and how often the longer one of held-out pairs
    is the chosen one."""
    rows = [conversation(record) for record in (*split.train, *split.heldout)]
    wins, held = [longer(row) for row in rows], rows[len(split.train) :]
    return Pairs(
        chosen_longer=wins.count(1.0) / len(rows) if rows else 0.0,
        rejected_longer=wins.count(0.0) / len(rows) if rows else 0.0,
        longer_wins=accuracy([longer(row) for row in held], [row.turns for row in held]),
    )


def with_tfidf(pairs: Pairs, split: Split[Any]) -> Pairs:
    """The same with the accuracy of a linear rule on held-out pairs: logistic regression without an
    intercept on tfidf(chosen) - tfidf(rejected), words and pairs of words; and with the difference
    of the logarithms of their lengths as one more feature.

    The same pairs give the same numbers. Of many pairs, `MOST_FITTED` and `MOST_JUDGED` are read.
    """
    train = [conversation(record) for record in sample(split.train, MOST_FITTED)]
    held = [conversation(record) for record in sample(split.heldout, MOST_JUDGED)]
    if len(train) < 2 or not held:
        return pairs
    from scipy.sparse import csr_matrix, hstack

    words, lengths = _word_differences(train, held), _length_differences(train, held)
    scale = float(abs(lengths[0]).mean()) or 1.0
    both = [
        hstack([word, csr_matrix(length / scale)]).tocsr()
        for word, length in zip(words, lengths, strict=True)
    ]
    prompts = [row.turns for row in held]
    return replace(
        pairs,
        tfidf=accuracy(_judge(*words), prompts),
        tfidf_and_length=accuracy(_judge(*both), prompts),
        fitted_on=len(train),
    )


def _word_differences(*sides: Sequence[Conversation]) -> list[Any]:
    """tfidf(chosen) - tfidf(rejected) [N, W] of the pairs to fit on, and of those to judge."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, max_features=50_000, token_pattern=r"(?u)\w+|[^\w\s]"
    )
    vectorizer.fit([answer for row in sides[0] for answer in row.answers])
    return [
        vectorizer.transform([row.answers[0] for row in rows])
        - vectorizer.transform([row.answers[1] for row in rows])
        for rows in sides
    ]


def _length_differences(*sides: Sequence[Conversation]) -> list[np.ndarray]:
    """log(1 + characters) of the chosen less that of the rejected [N, 1]."""
    import numpy as np

    logs = [[[math.log1p(len(text)) for text in row.answers] for row in rows] for rows in sides]
    return [np.array([[chosen - rejected] for chosen, rejected in side]) for side in logs]


def _judge(train: Any, held: Any) -> list[float]:
    """1, 0 or 1/2 for each held-out pair: whether the rule gives the chosen side more. The loss is
    the same for (x, 1) and (-x, 0), so every other pair is turned round: two classes are needed."""
    import numpy as np
    from scipy.sparse import diags
    from sklearn.linear_model import LogisticRegression

    signs = np.where(np.arange(train.shape[0]) % 2, -1.0, 1.0)
    rule = LogisticRegression(fit_intercept=False, C=1.0, max_iter=1000)
    rule.fit(diags(signs) @ train, signs > 0)
    margins = rule.decision_function(held)
    return [float(value) for value in 0.5 + 0.5 * np.sign(margins)]
