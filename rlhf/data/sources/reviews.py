"""Short English film reviews from a seeded grammar: the embedded default task.

    prompt       "i thought the plot of this film"
    completion   " was truly dull, but the music seemed rather good."

Gold is `rlhf.data.gold.ReviewGold`. The demonstrations are of mixed sentiment, a little below
neutral on average, so a policy has room to improve. Preferences are pairs of the grammar's own
completions of one prompt. They hold no repetition and no broken grammar, so a reward model learns
that praise is good and never how bad praise without end or sense is: it can be over-optimised.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.data.conversations import Prompt, asked
from rlhf.data.gold import ReviewGold
from rlhf.data.labelling import write_rows
from rlhf.data.lengths import MAX_LOST, OnLongPrompt
from rlhf.data.records import DataError, Reward, TaskData
from rlhf.data.sources.grammar import all_prompts, complete
from rlhf.data.splits import divide, hold_out, key_of
from rlhf.data.tokenizers import training_texts, word_level

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Reviews:
    def __init__(
        self,
        *,
        seed: int,
        demonstrations: int,
        pairs: int,
        label_temperature: float,
        prompts: int,
        heldout_fraction: float,
        max_response_tokens: int | None,
        on_long_prompt: OnLongPrompt = "drop",
        template: str = "auto",
        max_lost: float = MAX_LOST,
    ) -> None:
        self.seed = seed
        self.demonstrations = demonstrations
        self.pairs = pairs
        self.label_temperature = label_temperature
        self.prompts = prompts
        self.heldout_fraction = heldout_fraction
        self.max_response_tokens = max_response_tokens
        self.on_long_prompt: OnLongPrompt = on_long_prompt
        self.template = template
        self.max_lost = max_lost
        self.gold: ReviewGold = ReviewGold()
        self.judges: dict[str, Reward] = {}

    def files(self) -> list[Path]:
        """No file: the rows are written by a grammar."""
        return []

    def load(self) -> TaskData:
        every = all_prompts()
        if not 2 <= self.prompts <= len(every):
            raise DataError(
                f"data.prompts={self.prompts}: the grammar has {len(every)} prompts; give 2 to"
                f" {len(every)}"
            )
        prompts = random.Random(f"{self.seed}/prompts").sample(every, self.prompts)
        demonstrations, preferences = write_rows(
            prompts,
            complete,
            self.gold,
            demonstrations=self.demonstrations,
            pairs=self.pairs,
            temperature=self.label_temperature,
            seed=self.seed,
        )
        rows = ([*(Prompt(turns=asked(text)) for text in prompts)], demonstrations, preferences)
        groups = [{*map(key_of, each)} for each in rows]
        held = hold_out(groups, self.seed, self.heldout_fraction)
        return TaskData(
            demonstrations=divide(demonstrations, held),
            preferences=divide(preferences, held),
            prompts=divide(rows[0], held),
            continues=True,
        )

    def tokenizer(self, data: TaskData) -> PreTrainedTokenizerFast:
        """One token a word, of the training rows."""
        return word_level(training_texts(data))
