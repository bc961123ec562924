"""Sentences from film reviews with human labels: Pang and Lee, "Seeing stars", ACL 2005 (sentence
polarity dataset v1.0).

A prompt is the first words of a sentence, the demonstration is the rest. There are no preference
pairs: they are sampled from the SFT policy and labelled by gold, which is VADER. The human labels
make the second judge, which PPO never sees.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.data.conversations import Prompt, asked
from rlhf.data.gold import VaderGold
from rlhf.data.lengths import MAX_LOST, OnLongPrompt
from rlhf.data.readers.files import read_objects
from rlhf.data.readers.values import kind, quoted
from rlhf.data.records import DataError, Demonstration, Reward, TaskData
from rlhf.data.splits import cut, divide, hold_out
from rlhf.data.tokenizers import BytePairs

JSON_NAMES = ("snippets.jsonl", "snippets.jsonl.gz")
ORIGINAL_NAMES = {"rt-polarity.pos": 1, "rt-polarity.neg": 0}
FOLDERS = ("", "rt-polaritydata", "sentence_polarity")
HOW_TO_GET = (
    "Get the sentence polarity dataset v1.0 (Bo Pang and Lillian Lee, Seeing stars, ACL 2005):"
    " rt-polaritydata.tar.gz from https://www.cs.cornell.edu/people/pabo/movie-review-data/ or"
    " NLTK's corpus sentence_polarity (python -m nltk.downloader sentence_polarity). Unpack it and"
    " set data.path to the folder of rt-polarity.pos and rt-polarity.neg."
)


class Sentence(NamedTuple):
    prompt: str
    completion: str
    label: int  # 1 positive, 0 negative


def find(path: Path) -> list[Path]:
    """The file or the two files at or under `path`; DataError saying what to get where there are
    none."""
    if path.is_file():
        return (
            [path.with_name(name) for name in ORIGINAL_NAMES]
            if path.name in ORIGINAL_NAMES
            else [path]
        )
    for folder in (path / name for name in FOLDERS):
        both = [folder / name for name in ORIGINAL_NAMES]
        if all(file.is_file() for file in both):
            return both
        for name in JSON_NAMES:
            if (folder / name).is_file():
                return [folder / name]
    names = f"{', '.join(JSON_NAMES)} or {' and '.join(ORIGINAL_NAMES)}"
    raise DataError(
        f"data.path={path}: no review sentences. Looked for {names} in {path.resolve()}."
        f" {HOW_TO_GET}"
    )


def read(path: Path) -> list[tuple[str, int]]:
    """(sentence, label), spaces collapsed; DataError with every bad row."""
    faults: list[str] = []
    rows: list[tuple[str, int]] = []
    for file in find(path):
        if file.name not in ORIGINAL_NAMES:
            rows += _read_json(file, faults)
        elif file.is_file():
            text = file.read_text(encoding="latin-1")
            rows += [
                (" ".join(line.split()), ORIGINAL_NAMES[file.name])
                for line in text.split("\n")
                if line.strip()
            ]
        else:
            faults.append(
                f"{file}: no such file; the original distribution has"
                f" {' and '.join(ORIGINAL_NAMES)} together"
            )
    if faults:
        raise DataError(faults)
    return rows


def _read_json(file: Path, faults: list[str]) -> list[tuple[str, int]]:
    rows: list[tuple[str, int]] = []
    for number, row in read_objects(file, faults):
        text, label = row.get("text"), row.get("label")
        lost = [key for key in ("text", "label") if key not in row]
        if lost:
            faults.append(
                f"{file}:{number}: missing {quoted(lost, ' and ')}: the row has"
                f" {quoted(row) or 'nothing'}"
            )
        elif not isinstance(text, str):
            faults.append(f'{file}:{number}: "text" is {kind(text)}, not text')
        elif not text.strip():
            faults.append(f'{file}:{number}: "text" is empty')
        elif type(label) is not int or label not in (0, 1):
            faults.append(f'{file}:{number}: "label" is {label!r}, not 0 or 1')
        else:
            rows.append((" ".join(text.split()), label))
    return rows


class SentimentClassifier:
    """log P(good | text) - log P(bad | text) of a logistic regression on TF-IDF of words and word
    pairs; text = prompt + response.

    A second opinion, which PPO never sees. Fitted on the training texts (label 1 good, 0 bad) when
    it is first asked; no random draw in it.
    """

    def __init__(
        self, train: Sequence[tuple[str, int]], heldout: Sequence[tuple[str, int]]
    ) -> None:
        self._train, self._heldout = train, heldout

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


class RTPolarity(BytePairs):
    """Sentences of one word are left out: they have no room for a prompt and a completion."""

    def __init__(
        self,
        *,
        path: str,
        seed: int,
        prompt_words: int,
        prompts: int,
        pairs: int,
        label_temperature: float,
        heldout_fraction: float,
        vocabulary: int,
        max_response_tokens: int | None,
        on_long_prompt: OnLongPrompt = "drop",
        template: str = "auto",
        max_lost: float = MAX_LOST,
    ) -> None:
        self.path = path
        self.seed = seed
        self.prompt_words = prompt_words
        self.prompts = prompts
        self.pairs = pairs
        self.label_temperature = label_temperature
        self.heldout_fraction = heldout_fraction
        self.vocabulary = vocabulary
        self.max_response_tokens = max_response_tokens
        self.on_long_prompt: OnLongPrompt = on_long_prompt
        self.template = template
        self.max_lost = max_lost
        self.gold: VaderGold = VaderGold()

    @cached_property
    def _sentences(self) -> list[Sentence]:
        parts = (
            (cut(text, self.prompt_words), label)
            for text, label in read(Path(self.path).expanduser())
        )
        return [Sentence(*part, label) for part, label in parts if part is not None]

    @cached_property
    def _held(self) -> frozenset[str]:
        return hold_out(
            [{row.prompt for row in self._sentences}, self._prompts],
            self.seed,
            self.heldout_fraction,
        )

    @cached_property
    def _prompts(self) -> list[str]:
        every = list(dict.fromkeys(row.prompt for row in self._sentences))
        if not 2 <= self.prompts <= len(every):
            raise DataError(
                f"data.prompts={self.prompts}: the sentences have {len(every)} different prompts;"
                f" give 2 to {len(every)}"
            )
        return random.Random(f"{self.seed}/prompts").sample(every, self.prompts)

    def files(self) -> list[Path]:
        return find(Path(self.path).expanduser())

    def load(self) -> TaskData:
        rows = (
            Demonstration(prompt=asked(row.prompt), completion=row.completion)
            for row in self._sentences
        )
        return TaskData(
            demonstrations=divide(rows, self._held),
            preferences=None,
            prompts=divide([Prompt(turns=asked(text)) for text in self._prompts], self._held),
            continues=True,
        )

    @cached_property
    def classifier(self) -> SentimentClassifier:
        """Fitted on the human labels of the training sentences."""
        split = divide(self._sentences, self._held, by=lambda row: row.prompt)
        train, heldout = (
            [(row.prompt + row.completion, row.label) for row in side]
            for side in (split.train, split.heldout)
        )
        return SentimentClassifier(train, heldout)

    @property
    def judges(self) -> dict[str, Reward]:
        return {"classifier": self.classifier}
