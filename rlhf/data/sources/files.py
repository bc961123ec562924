"""A user's own rows, from files or the hub. The formats are in `rlhf.data.readers.rows`, the places
in `rlhf.data.readers.places`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rlhf.data.conversations import Prompt, Turns, same_key
from rlhf.data.gold import VaderGold
from rlhf.data.lengths import MAX_LOST, OnLongPrompt
from rlhf.data.readers.formats import FORMATS
from rlhf.data.readers.hub import HUB
from rlhf.data.readers.parts import Columns, Place, Reader, columns_fault, unseen
from rlhf.data.readers.places import files_at
from rlhf.data.readers.rows import Row
from rlhf.data.records import DataError, Demonstration, Preference, Reward, Split, TaskData
from rlhf.data.splits import divide, hold_out, key_of
from rlhf.data.tokenizers import BytePairs

log = logging.getLogger(__name__)

# a path, or several with weights: {"path": ..., "weight": ..., "columns": ...}
Places = str | Sequence[Mapping[str, Any]] | None
SHOWN = 3  # of the rows that a warning counts


class Files(BytePairs):
    """Rows are split by what is asked first: the side depends on that text and the seed alone, over
    all parts alike. Without `prompts` those of the demonstrations are taken, else those of the
    preferences; each prompt once."""

    def __init__(
        self,
        *,
        demonstrations: Places,
        preferences: Places,
        prompts: Places,
        gold: str | None,
        prompt_words: int,
        pairs: int,
        label_temperature: float,
        heldout_fraction: float,
        seed: int,
        vocabulary: int,
        max_response_tokens: int | None,
        on_long_prompt: OnLongPrompt = "drop",
        max_lost: float = MAX_LOST,
        template: str = "auto",
        columns: Columns | None = None,
        on_bad_row: Literal["error", "skip"] = "error",
        license: str | None = None,
    ) -> None:
        given: dict[str, Places] = {
            "demonstrations": demonstrations,
            "preferences": preferences,
            "prompts": prompts,
        }
        self.parts = {part: places_of(each) for part, each in given.items() if each is not None}
        self.prompt_words = prompt_words
        self.pairs = pairs
        self.label_temperature = label_temperature
        self.heldout_fraction = heldout_fraction
        self.seed = seed
        self.vocabulary = vocabulary
        self.max_response_tokens = max_response_tokens
        self.on_long_prompt: OnLongPrompt = on_long_prompt
        self.max_lost = max_lost
        self.template = template
        self.columns = dict(columns or {})
        self.on_bad_row = on_bad_row
        self.license = license
        self.gold_name = gold
        self.gold: Reward | None = VaderGold() if gold == "vader" else None
        self.judges: dict[str, Reward] = {}
        self.skipped: list[str] = []  # bad rows that `load` left out, `file:line: reason`
        self._lines: dict[tuple[str, Turns], str] = {}
        self._rows: dict[tuple[str, Demonstration | Preference], str] = {}

    def place(self, part: str, turns: Turns) -> str | None:
        """`file:line` of the first row with this prompt in a part of the data."""
        return self._lines.get((part, turns))

    def row_place(self, part: str, record: Demonstration | Preference) -> str | None:
        """`file:line` of the first row that is this record."""
        return self._rows.get((part, record))

    def files(self) -> list[Path] | None:
        """Those that `load` reads; None where a part is of the hub."""
        paths = [place.path for places in self.parts.values() for place in places]
        if any(path.startswith(HUB) for path in paths):
            return None
        return [file for path in paths for file in files_at(path, [])]

    def load(self) -> TaskData:
        rows = self._read()
        origin = next(part for part in ("prompts", "demonstrations", "preferences") if part in rows)
        for part, each in [*rows.items(), ("prompts", rows[origin])]:
            for row in each:
                self._lines.setdefault((part, row.prompt), row.place)
        prompts: dict[Any, Row] = {}  # each once: the first row with a reference, or the first
        for row in rows[origin]:
            key = same_key(row.prompt)
            if prompts.setdefault(key, row).reference is None and row.reference is not None:
                prompts[key] = row
        parts: dict[str, list[Any]] = {
            "demonstrations": [demonstration(row) for row in rows.get("demonstrations", ())],
            "preferences": [preference(row) for row in rows.get("preferences", ())],
            "prompts": [
                Prompt(turns=row.prompt, reference=row.reference) for row in prompts.values()
            ],
        }
        for part in rows.keys() - {"prompts"}:
            for row, record in zip(rows[part], parts[part], strict=True):
                self._rows.setdefault((part, record), row.place)
        groups = [{*map(key_of, each)} for each in parts.values()]
        held = hold_out(groups, self.seed, self.heldout_fraction)
        splits: dict[str, Any] = {
            part: divide(each, held) if each else None for part, each in parts.items()
        }
        first = next(iter(rows.values()))
        data = TaskData(**splits, continues=all(row.continues for row in first))
        self._check_sides(splits, origin)
        if self.gold is not None and not data.continues:
            self.gold = VaderGold(between="\n\n")
        return data

    def _read(self) -> dict[str, list[Row]]:
        """The rows of each part that is there, demonstrations first; DataError with every fault."""
        faults = [f"data.columns: {fault}"] if (fault := columns_fault(self.columns)) else []
        if self.gold_name not in (None, "vader"):
            faults.append(f"data.gold={self.gold_name}: give null or vader")
        if not self.parts:
            faults.append(NOTHING)
        bad: list[str] = [] if self.on_bad_row == "skip" else faults
        reader = Reader(
            prompt_words=self.prompt_words,
            seed=self.seed,
            columns=self.columns,
            faults=faults,
            bad_rows=bad,
        )
        rows: dict[str, list[Row]] = {
            part: reader.read(self.parts[part], part) for part in FORMATS if part in self.parts
        }
        faults[:0] = unseen(self.columns, reader.seen, "data")
        if faults:
            raise DataError(faults)
        self.skipped = bad
        if bad:
            more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
            log.warning(
                "%d bad rows are left out (data.on_bad_row=skip): %s%s",
                len(bad),
                "; ".join(bad[:SHOWN]),
                more,
            )
        return rows

    def _check_sides(self, splits: Mapping[str, Split[Any] | None], origin: str) -> None:
        """Raises DataError for a part whose prompts are all on one side."""
        places = {**self.parts, "prompts": self.parts[origin]}
        if faults := [
            f"{', '.join(place.path for place in places[part])}: all its prompts are on one side of"
            " the split; give two different ones"
            for part, split in splits.items()
            if split is not None and not (split.train and split.heldout)
        ]:
            raise DataError(dict.fromkeys(faults))


NOTHING = "data: no rows; name a file in one of data.demonstrations, data.preferences, data.prompts"


def places_of(places: str | Sequence[Mapping[str, Any]]) -> list[Place]:
    """The places of a part, as the config has them."""
    return [Place(path=places)] if isinstance(places, str) else [Place(**each) for each in places]


def demonstration(row: Row) -> Demonstration:
    return Demonstration(prompt=row.prompt, completion=row.completion)


def preference(row: Row) -> Preference:
    assert row.rejected is not None
    return Preference(
        prompt=row.prompt, chosen=row.completion, rejected=row.rejected, margin=row.margin
    )
