"""The records that a data source gives: demonstrations, preferences, prompts and, where there is
one, a gold reward. No torch here.

They are turns: `rlhf.data.rendering` makes ids of them. A gold reward sees the texts of prompts
and responses, without what a template writes around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from rlhf.data.conversations import ASSISTANT, Prompt, Turn, Turns
from rlhf.digests import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

T = TypeVar("T")
MAX_FAULTS = 20


class DataError(ValueError):
    """The data is wrong or missing. `faults` holds at most 20 of them, `file:line: reason` where
    a row is at fault, then "and N more"."""

    exit_code = 2

    def __init__(self, faults: str | Iterable[str]) -> None:
        every = [faults] if isinstance(faults, str) else list(faults)
        super().__init__(every)
        rest = len(every) - MAX_FAULTS
        self.faults = every[:MAX_FAULTS] + ([f"and {rest} more"] if rest > 0 else [])

    def __str__(self) -> str:
        return "\n".join(self.faults)


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    prompt: Turns
    completion: str

    @property
    def turns(self) -> Turns:
        return (*self.prompt, Turn(ASSISTANT, self.completion))

    @property
    def answers(self) -> tuple[str, ...]:
        return (self.completion,)


@dataclass(frozen=True, kw_only=True)
class Preference:
    prompt: Turns
    chosen: str
    rejected: str
    margin: float | None = None  # how much better, in the labeller's unit; None where nobody said
    chosen_ended: bool = True  # False: cut off at the length, no EOS follows it
    rejected_ended: bool = True

    @property
    def answers(self) -> tuple[str, ...]:
        return (self.chosen, self.rejected)


Record = Demonstration | Preference | Prompt


@dataclass(frozen=True, kw_only=True)
class Split(Generic[T]):
    """No prompt is on both sides."""

    train: tuple[T, ...]
    heldout: tuple[T, ...]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the content."""
        return digest(self)


@dataclass(frozen=True, kw_only=True)
class TaskData:
    demonstrations: Split[Demonstration] | None  # None: there are none to learn from
    # None: to be sampled from the SFT policy and labelled by gold
    preferences: Split[Preference] | None
    prompts: Split[Prompt]
    continues: bool = False  # the rows are text that goes on, not conversations

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the content."""
        return digest(self)


class Reward(Protocol):
    """Scores of responses, one a row; higher is better. Responses end where the policy wrote EOS
    or ran out of tokens."""

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]: ...


class Source(Protocol):
    """A task. Everything a stage needs to know about its data, without torch.

    One may also say `on_long_prompt` (drop, truncate_left or error: rlhf.data.lengths; drop where
    it does not), `max_lost` (the share of rows that may be lost to limits; 0.05), `template`
    (rlhf.data.rendering.choice; auto where it does not) and `place(part, turns)`, where a prompt
    stands (`file:line`, or None); `row_place(part, record)`, where that very row does; and
    `files()`, all files that `load` reads (None: not known): where they are the same, the jobs of a
    sweep read them once.
    """

    max_response_tokens: int | None  # None: conf/generation says it
    pairs: int  # preference pairs to sample where `load` gives none
    # P(a preferred to b) = sigmoid((gold(a) - gold(b)) / label_temperature)
    label_temperature: float

    def load(self) -> TaskData:
        """Reads or generates the rows; raises DataError."""

    def tokenizer(self, data: TaskData) -> PreTrainedTokenizerFast:
        """For a model trained from scratch; <pad> and <eos> are distinct."""

    @property
    def gold(self) -> Reward | None: ...

    @property
    def judges(self) -> dict[str, Reward]:
        """Further rewards, measured beside gold and reported as reward/<name>."""


class Loaded(NamedTuple):
    """A source and the rows that it gave."""

    source: Source
    data: TaskData

    @classmethod
    def of(cls, source: Source) -> Loaded:
        """Reads the source's rows; raises DataError, also where all rows of a part are held out."""
        data = source.load()
        parts = {"demonstrations": data.demonstrations, "preferences": data.preferences}
        if faults := [
            f"data: of {len(rows.heldout)} {part} all are held out, none is left to train on; give"
            " more rows"
            for part, rows in parts.items()
            if rows is not None and rows.heldout and not rows.train
        ]:
            raise DataError(faults)
        return cls(source, data)
