"""The rules for what is longer than its limit: prompts that leave no room for a response
(`data.on_long_prompt`) and labelled rows (`sft.on_long`, `reward_model.on_long`). No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from rlhf.data.conversations import Prompt, Turns, shown
from rlhf.data.records import DataError, Split

Id = TypeVar("Id")
OnLongPrompt = Literal["drop", "truncate_left", "error"]
OnLong = Literal["cut", "drop", "truncate_left", "error"]
Fate = Literal["whole", "cut", "truncated", "dropped"]  # of a row
FATES: tuple[Fate, ...] = get_args(Fate)  # from the best to the worst
NOT_LONG = "data.on_long_prompt=error; drop leaves such prompts out, truncate_left keeps their end"
MAX_LOST = 0.05  # share of a stage's rows that may be cut, shortened or left out unasked
NAMED = 3  # of the prompts that a warning counts


def quote(prompt: Turns) -> str:
    """The beginning of a prompt, to know it by where no file and line are known."""
    text = " ".join(shown(prompt).split())
    return f'"{text}"' if len(text) <= 40 else f'"{text[:37]}..."'


@dataclass(frozen=True, kw_only=True)
class LongPrompts:
    """The rule, and the place of a prompt in words: `prompts.jsonl:121`."""

    rule: OnLongPrompt = "drop"
    place: Callable[[Turns], str] = quote

    def refuse(self, prompts: Sequence[Turns], why: str) -> None:
        """Raises DataError that names each of the prompts where the rule is `error`."""
        if self.rule == "error" and prompts:
            raise_all(f"{self.place(prompt)}: {why} ({NOT_LONG})" for prompt in prompts)

    def named(self, prompts: Sequence[Turns]) -> str:
        """The places of the first three: ` (a.jsonl:1, a.jsonl:7 and 5 more)`."""
        places = [self.place(prompt) for prompt in dict.fromkeys(prompts)]
        more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
        return f" ({', '.join(places[:NAMED])}{more})" if places else ""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The most tokens of a stage's rows, and what happens to longer ones.

    `cut`: their answers lose their end; where the prompt alone fills the limit, `long` decides.
    `drop`: they are left out. `truncate_left`: their prompts lose their beginning, down to the last
    token; what is too long even so loses its end. `error`: they are refused.
    """

    most: int
    rule: OnLong = "cut"
    long: LongPrompts = LongPrompts()
    stage: str = ""

    @property
    def setting(self) -> str:
        return f"{self.stage}.max_length".removeprefix(".")

    def fit(self, prompt: int, answer: int, head: int = 0) -> Fit:
        """How a row is made to fit, by the tokens of its prompt and of its longest answer.

        Args:
            head: tokens at the beginning (a BOS) that stay where a prompt loses its left.
        """
        if prompt + answer <= self.most:
            return Fit()
        full = prompt >= self.most
        if self.rule == "truncate_left" or (
            full and self.rule == "cut" and self.long.rule == "truncate_left"
        ):
            room = max(1, min(prompt, self.most - answer))
            kept = head if room > head else 0
            return Fit(fate="truncated", most=self.most, left=prompt - room, head=kept)
        cut = self.rule == "cut" and not full
        return Fit(fate="cut" if cut else "dropped", most=self.most)

    def refuse(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """Raises DataError that names each row (its place, tokens of its prompt, tokens of all)
        that the rules refuse."""
        if self.rule == "error":
            raise_all(
                f"{place}: its {whole} tokens are more than {self.setting}={self.most}"
                f" ({self.stage}.on_long=error; cut takes off its end, drop leaves it out,"
                " truncate_left takes off the beginning of its prompt)"
                for place, _, whole in rows
                if whole > self.most
            )
        elif self.rule == "cut" and self.long.rule == "error":
            raise_all(
                f"{place}: its prompt alone fills {self.setting}={self.most} tokens ({NOT_LONG})"
                for place, prompt, whole in rows
                if prompt >= self.most and whole > self.most
            )


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What becomes of a row: after its first `head` ids it loses `left` of them, and its end beyond
    `most`."""

    fate: Fate = "whole"
    most: int | None = None
    left: int = 0
    head: int = 0

    def __call__(self, ids: Sequence[Id]) -> list[Id]:
        return [*ids[: self.head], *ids[self.head + self.left :]][: self.most]

    def move(self, first: int, end: int) -> tuple[int, int]:
        """Where a half-open range of ids stands afterwards; empty where nothing of it is left."""
        most = end if self.most is None else self.most
        low = self.head if self.left else 0
        return max(first - self.left, low), min(end - self.left, most)


def raise_all(faults: Iterable[str]) -> None:
    """
    Raises:
        DataError: there are faults; each is told once.
    """
    if every := [*dict.fromkeys(faults)]:
        raise DataError(every)


def shorten(ids: Sequence[int], most: int, bos: int | None) -> list[int]:
    """The last `most` ids, the BOS at their head where the whole begins with it."""
    if len(ids) <= most:
        return [*ids]
    if bos is not None and ids[0] == bos and most > 1:
        return [bos, *ids[len(ids) - most + 1 :]]
    return [*ids[len(ids) - most :]]


@dataclass(frozen=True, kw_only=True)
class PromptLimit:
    """The most tokens of a prompt: generation.max_prompt_tokens (`set`), or what the model's
    positions leave beside a response (`left`); None: any number."""

    set: int | None = None
    left: int | None = None

    @property
    def most(self) -> int | None:
        return min((n for n in (self.set, self.left) if n is not None), default=None)

    @property
    def words(self) -> str:
        if self.most is None:
            return "any number of tokens"
        if self.most == self.set:
            return f"generation.max_prompt_tokens={self.set}"
        return f"the {self.left} tokens that the model's positions leave beside a response"


@dataclass(frozen=True, kw_only=True)
class FittedPrompts:
    """The prompts that responses are drawn to, after the rule. `limit`: the most tokens of one
    (None: any); the texts of longer ones are kept whole for judges, models read their end."""

    prompts: Split[Prompt]
    limit: int | None = None
    dropped: int = 0
    truncated: int = 0
    warning: str = ""

    @property
    def counts(self) -> dict[str, int]:
        return {"prompts_dropped": self.dropped, "prompts_truncated": self.truncated}


def fit_prompts(
    prompts: Split[Prompt],
    lengths_of: Callable[[Sequence[Turns]], Sequence[int]],
    bound: PromptLimit,
    long: LongPrompts,
) -> FittedPrompts:
    """The rule applied to prompts of more tokens than their limit.

    Raises:
        DataError: the rule is `error` and there are such prompts, or none is left on one side.
    """
    limit = bound.most
    if limit is None:
        return FittedPrompts(prompts=prompts)
    every = [*prompts.train, *prompts.heldout]
    lengths = dict(zip(every, lengths_of([prompt.turns for prompt in every]), strict=True))
    over = [prompt.turns for prompt in every if lengths[prompt] > limit]
    if not over:
        return FittedPrompts(prompts=prompts, limit=limit)
    why = f"longer than {bound.words}"
    long.refuse(over, f"a prompt {why}")
    count = f"{len(over)} of {len(every)} prompts are {why}"
    names = long.named(over)
    if long.rule == "truncate_left":
        warning = f"{count}, and keep their last {limit}{names}"
        return FittedPrompts(prompts=prompts, limit=limit, truncated=len(over), warning=warning)
    kept: Any = Split(
        **{
            side: tuple(p for p in getattr(prompts, side) if lengths[p] <= limit)
            for side in ("train", "heldout")
        }
    )
    if not (kept.train and kept.heldout):
        remedy = "raise it" if limit == bound.set else "lower generation.max_new_tokens"
        which = "to train on" if kept.heldout else "to evaluate on"
        raise DataError(
            f"{count}{names}: none is left {which}; {remedy}, or set"
            " data.on_long_prompt=truncate_left"
        )
    warning = f"{count}, and are left out{names}"
    return FittedPrompts(prompts=kept, limit=limit, dropped=len(over), warning=warning)
