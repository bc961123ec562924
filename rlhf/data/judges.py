"""Second opinions: rewards that PPO never sees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

Labelled = Sequence[tuple[str, int]]  # text and label, 1 good and 0 bad


class SentimentClassifier:
    """log P(good | text) - log P(bad | text) of a logistic regression on TF-IDF of words and word
    pairs; text = prompt + response.

    Fitted on the labelled training texts when it is first asked; no random draw in it.
    """

    def __init__(self, train: Labelled, heldout: Labelled) -> None:
        self._train = train
        self._heldout = heldout

    @cached_property
    def _model(self) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        words = TfidfVectorizer(
            token_pattern=r"\S+", ngram_range=(1, 2), min_df=2, sublinear_tf=True
        )
        return make_pipeline(words, LogisticRegression(C=4.0, max_iter=1000)).fit(
            *zip(*self._train, strict=True)
        )

    @cached_property
    def heldout_accuracy(self) -> float:
        """Share of held-out texts whose label it tells."""
        return float(self._model.score(*zip(*self._heldout, strict=True)))

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        texts = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        return [float(score) for score in self._model.decision_function(texts)] if texts else []
