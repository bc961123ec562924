"""A task small enough to list every response: letters, a few prompts, a gold reward that looks at
the whole response.

Text is letters with a space between ("a b"). The corpus is a seeded Markov chain with peaked
transitions. Every completion of it has 1 to max_response_tokens - 1 letters, so that with EOS it
fits.
"""

from __future__ import annotations

import math
import random
import string
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rlhf.data.conversations import Prompt, asked
from rlhf.data.labelling import write_rows
from rlhf.data.lengths import MAX_LOST, OnLongPrompt
from rlhf.data.records import DataError, Reward, TaskData
from rlhf.data.splits import divide
from rlhf.data.tokenizers import symbols

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)
RHYME = 1.0
PEAK = 2.0  # weights of the chain are exp(PEAK * normal), unless data.peak says otherwise
STOP = 0.3  # chance to end after each letter, unless data.stop says otherwise
Word = Literal["none", "likely", "any"]


class MicroGold:
    """gold = sum over neighbours (a, b) of table[a, b], the prompt's last letter and the first of
    the response among them, + 1 where a response of two letters or more ends with the letter it
    began with. An empty response has 0.

    The table's entries are drawn uniformly from -1, -0.5, 0, 0.5, 1. The last term depends on the
    first and the last token together, so no sum of rewards of single steps equals this reward.
    `word_reward` comes on top for the response that is `word`, and for no part of it.
    """

    def __init__(
        self, table: dict[tuple[str, str], float], word: str = "", word_reward: float = 0.0
    ) -> None:
        self.table, self.word, self.word_reward = table, word, word_reward

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        return [
            self.score(prompt, response)
            for prompt, response in zip(prompts, responses, strict=True)
        ]

    def score(self, prompt: str, response: str) -> float:
        letters = response.split()
        neighbours = sum(self.table[pair] for pair in pairwise([*prompt.split()[-1:], *letters]))
        rhymes = len(letters) > 1 and letters[0] == letters[-1]
        whole = bool(self.word) and " ".join(letters) == self.word
        return neighbours + RHYME * rhymes + self.word_reward * whole


class WithError:
    """A reward, and on top of it an error of each prompt and response: `scale` times a draw of
    Student's t with `degrees` of freedom, always the same for the same text.

    Its tail falls as a power: E|error|^k is finite for k < degrees alone (arXiv 2407.14503).
    """

    def __init__(self, true: Reward, *, seed: int, scale: float, degrees: float) -> None:
        self.true, self.seed, self.scale, self.degrees = true, seed, scale, degrees

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        scores = self.true(prompts, responses)
        return [
            score + self.error(prompt, response)
            for score, prompt, response in zip(scores, prompts, responses, strict=True)
        ]

    def error(self, prompt: str, response: str) -> float:
        rng = random.Random(f"{self.seed}/error/{prompt}/{' '.join(response.split())}")
        chi_squared = rng.gammavariate(self.degrees / 2, 2.0)
        return self.scale * rng.gauss(0, 1) / math.sqrt(chi_squared / self.degrees)


class Micro:
    """`word`: a response of as many letters as fit, which alone has `word_reward` more: `likely` is
    drawn by the corpus's chain, of `any` all are as likely. `error`, `error_degrees`: the scale and
    the tail of an error in the reward that is scored as gold (`WithError`); the reward without it
    is then measured beside it as `true`.
    """

    def __init__(
        self,
        *,
        seed: int,
        vocabulary: int,
        prompts: int,
        demonstrations: int,
        pairs: int,
        label_temperature: float,
        max_response_tokens: int,
        on_long_prompt: OnLongPrompt = "drop",
        template: str = "auto",
        max_lost: float = MAX_LOST,
        peak: float = PEAK,
        stop: float = STOP,
        word: Word = "none",
        word_reward: float = 2.0,
        error: float = 0.0,
        error_degrees: float = 2.0,
    ) -> None:
        self.seed = seed
        self.vocabulary = vocabulary
        self.letters = string.ascii_lowercase[:vocabulary]
        self.prompts = prompts
        self.demonstrations = demonstrations
        self.pairs = pairs
        self.label_temperature = label_temperature
        self.max_response_tokens = max_response_tokens
        self.on_long_prompt: OnLongPrompt = on_long_prompt
        self.template = template
        self.max_lost = max_lost
        self.stop = stop
        rng = random.Random(f"{seed}/chain")
        self._chain = {
            a: [math.exp(peak * rng.gauss(0, 1)) for _ in self.letters] for a in self.letters
        }
        rng = random.Random(f"{seed}/gold")
        table = {(a, b): rng.choice(STEPS) for a in self.letters for b in self.letters}
        self.true = MicroGold(table, self._word(word), word_reward)
        self.gold: Reward = self.true
        self.judges: dict[str, Reward] = {}
        if error:
            self.gold = WithError(self.true, seed=seed, scale=error, degrees=error_degrees)
            self.judges["true"] = self.true

    def _word(self, kind: Word) -> str:
        rng, length = random.Random(f"{self.seed}/word"), self.max_response_tokens - 1
        if kind == "none":
            return ""
        if kind == "any":
            return " ".join(rng.choices(self.letters, k=length))
        letters = [rng.choice(self.letters)]
        while len(letters) < length:
            letters += rng.choices(self.letters, self._chain[letters[-1]])
        return " ".join(letters)

    def files(self) -> list[Path]:
        """No file: the rows are written by a chain."""
        return []

    def load(self) -> TaskData:
        """Half of the prompts have one letter and half two, in a seeded order. The last quarter
        is held out, one at least."""
        if not 2 <= self.vocabulary <= 26:
            raise DataError(f"data.vocabulary={self.vocabulary}: give 2 to 26 letters")
        most = self.vocabulary + self.vocabulary**2
        if not 2 <= self.prompts <= most:
            raise DataError(
                f"data.prompts={self.prompts}: {self.vocabulary} letters make 2 to {most} prompts"
            )
        if self.max_response_tokens < 2:
            raise DataError(
                f"data.max_response_tokens={self.max_response_tokens}: a letter and EOS need 2"
            )
        prompts = self._prompts()
        held = prompts[-max(1, self.prompts // 4) :]
        demonstrations, preferences = write_rows(
            prompts,
            self.sample,
            self.gold,
            demonstrations=self.demonstrations,
            pairs=self.pairs,
            temperature=self.label_temperature,
            seed=self.seed,
        )
        return TaskData(
            demonstrations=divide(demonstrations, held),
            preferences=divide(preferences, held),
            prompts=divide([Prompt(turns=asked(text)) for text in prompts], held),
            continues=True,
        )

    def _prompts(self) -> list[str]:
        rng = random.Random(f"{self.seed}/prompts")
        single = min(len(self.letters), (self.prompts + 1) // 2)
        pairs = [f"{a} {b}" for a in self.letters for b in self.letters]
        prompts = rng.sample(self.letters, single) + rng.sample(pairs, self.prompts - single)
        rng.shuffle(prompts)
        return prompts

    def sample(self, prompt: str, rng: random.Random) -> str:
        """A completion of the corpus's chain."""
        letters = [prompt.split()[-1]]
        while len(letters) < self.max_response_tokens:
            letters += rng.choices(self.letters, self._chain[letters[-1]])
            if rng.random() < self.stop:
                break
        return "".join(f" {letter}" for letter in letters[1:])

    def tokenizer(self, data: TaskData) -> PreTrainedTokenizerFast:
        """One token a letter, whatever letters `data` holds."""
        return symbols(self.letters)
