"""A user's own files. The formats are in `rlhf.data.readers.rows`."""

from __future__ import annotations

from pathlib import Path

from rlhf.data.conversations import Prompt, Turns, asked, shown, split_key
from rlhf.data.gold import VaderGold
from rlhf.data.lengths import OnLongPrompt
from rlhf.data.readers.files import read_objects
from rlhf.data.readers.rows import FORMATS, Format, Purpose, Row, RowError, detect, parse
from rlhf.data.records import DataError, Demonstration, Preference, Reward, Split, TaskData
from rlhf.data.splits import divide, hold_out
from rlhf.data.tokenizers import BytePairs


def read_rows(path: Path, purpose: Purpose, prompt_words: int, faults: list[str]) -> list[Row]:
    """The good rows in their order; the bad ones go to `faults` as `file:line: reason`. The
    first row told sets the file's format."""
    rows: list[Row] = []
    first: tuple[int, Format] | None = None
    for number, row in read_objects(path, faults):
        try:
            keys = detect(row, purpose)
            first = first or (number, keys)
            if keys != first[1]:
                raise RowError(
                    f"has the format {'+'.join(keys)}, but line {first[0]} has"
                    f" {'+'.join(first[1])}: one format a file"
                )
            rows.append(parse(row, keys, purpose, prompt_words)._replace(line=number))
        except RowError as error:
            faults.append(f"{path}:{number}: {error}")
    return rows


class JsonLines(BytePairs):
    """Rows are split by prompt: a prompt's side depends on the prompt and the seed alone, over
    all three files alike."""

    def __init__(
        self,
        *,
        demonstrations: str,
        preferences: str | None,
        prompts: str | None,
        gold: str | None,
        prompt_words: int,
        pairs: int,
        label_temperature: float,
        heldout_fraction: float,
        seed: int,
        vocabulary: int,
        max_response_tokens: int,
        on_long_prompt: OnLongPrompt = "drop",
    ) -> None:
        self.demonstrations = demonstrations
        self.preferences = preferences
        self.prompts = prompts
        self.prompt_words = prompt_words
        self.pairs = pairs
        self.label_temperature = label_temperature
        self.heldout_fraction = heldout_fraction
        self.seed = seed
        self.vocabulary = vocabulary
        self.max_response_tokens = max_response_tokens
        self.on_long_prompt: OnLongPrompt = on_long_prompt
        self.gold_name = gold
        self.gold: Reward | None = VaderGold() if gold == "vader" else None
        self.judges: dict[str, Reward] = {}
        self._lines: dict[tuple[str, str], str] = {}

    def place(self, part: str, turns: Turns) -> str | None:
        """`file:line` of the first row with this prompt in a part of the data."""
        return self._lines.get((part, shown(turns)))

    def load(self) -> TaskData:
        faults: list[str] = []
        if self.gold_name not in (None, "vader"):
            faults.append(f"data.gold={self.gold_name}: give null or vader")
        rows = {
            purpose: read_rows(Path(file).expanduser(), purpose, self.prompt_words, faults)
            for purpose in FORMATS
            if (file := getattr(self, purpose)) is not None
        }
        if faults:
            raise DataError(faults)
        rows.setdefault("prompts", rows["demonstrations"])
        for part, each in rows.items():
            file = getattr(self, part) or self.demonstrations
            for row in each:
                self._lines.setdefault((part, row.prompt), f"{file}:{row.line}")
        held = hold_out(
            [{split_key(asked(row.prompt)) for row in each} for each in rows.values()],
            self.seed,
            self.heldout_fraction,
        )
        demonstrations = (
            Demonstration(prompt=asked(row.prompt), completion=row.completion)
            for row in rows["demonstrations"]
        )
        pairs = [_preference(row) for row in rows["preferences"]] if "preferences" in rows else None
        data = TaskData(
            demonstrations=divide(demonstrations, held),
            preferences=None if pairs is None else divide(pairs, held),
            prompts=divide(
                [
                    Prompt(turns=asked(text))
                    for text in dict.fromkeys(r.prompt for r in rows["prompts"])
                ],
                held,
            ),
            continues=True,
        )
        faults = [
            f"{getattr(self, purpose) or self.demonstrations}: all its prompts are on one side of"
            " the split; give two different ones"
            for purpose, split in vars(data).items()
            if isinstance(split, Split) and not (split.train and split.heldout)
        ]
        if faults:
            raise DataError(dict.fromkeys(faults))
        return data


def _preference(row: Row) -> Preference:
    assert row.rejected is not None
    return Preference(
        prompt=asked(row.prompt), chosen=row.completion, rejected=row.rejected, margin=row.margin
    )
