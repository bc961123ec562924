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
from typing import TYPE_CHECKING

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
PEAK = 2.0  # weights of the chain are exp(PEAK * normal)
STOP = 0.3  # chance to end after each letter


class MicroGold:
    """gold = sum over neighbours (a, b) of table[a, b], the prompt's last letter and the first of
    the response among them, + 1 where a response of two letters or more ends with the letter it
    began with. An empty response has 0.

    The table's entries are drawn uniformly from -1, -0.5, 0, 0.5, 1. The last term depends on the
    first and the last token together, so no sum of rewards of single steps equals this reward.
    """

    def __init__(self, table: dict[tuple[str, str], float]) -> None:
        self.table = table

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        return [
            self.score(prompt, response)
            for prompt, response in zip(prompts, responses, strict=True)
        ]

    def score(self, prompt: str, response: str) -> float:
        letters = response.split()
        neighbours = sum(self.table[pair] for pair in pairwise([*prompt.split()[-1:], *letters]))
        return neighbours + (RHYME if len(letters) > 1 and letters[0] == letters[-1] else 0.0)


class Micro:
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
        self.judges: dict[str, Reward] = {}
        rng = random.Random(f"{seed}/gold")
        self.gold: MicroGold = MicroGold(
            {(a, b): rng.choice(STEPS) for a in self.letters for b in self.letters}
        )
        rng = random.Random(f"{seed}/chain")
        self._chain = {
            a: [math.exp(PEAK * rng.gauss(0, 1)) for _ in self.letters] for a in self.letters
        }

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
            if rng.random() < STOP:
                break
        return "".join(f" {letter}" for letter in letters[1:])

    def tokenizer(self, data: TaskData) -> PreTrainedTokenizerFast:
        """One token a letter, whatever letters `data` holds."""
        return symbols(self.letters)
