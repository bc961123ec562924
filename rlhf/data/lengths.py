"""The one rule for prompts that leave no room for a response: `data.on_long_prompt`. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlhf.data.conversations import Prompt, Turns, shown
from rlhf.data.records import DataError, Split

OnLongPrompt = Literal["drop", "truncate_left", "error"]
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
            raise DataError(
                f"{self.place(prompt)}: {why} (data.on_long_prompt=error; drop leaves such prompts"
                " out, truncate_left keeps their end)"
                for prompt in dict.fromkeys(prompts)
            )

    def named(self, prompts: Sequence[Turns]) -> str:
        """The places of the first three: ` (a.jsonl:1, a.jsonl:7 and 5 more)`."""
        places = [self.place(prompt) for prompt in dict.fromkeys(prompts)]
        more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
        return f" ({', '.join(places[:NAMED])}{more})" if places else ""


def shorten(ids: list[int], most: int, bos: int | None) -> list[int]:
    """The last `most` ids, the BOS at their head where the whole begins with it."""
    if len(ids) <= most:
        return ids
    if bos is not None and ids[0] == bos and most > 1:
        return [bos, *ids[len(ids) - most + 1 :]]
    return ids[len(ids) - most :]


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
    prompts: Split[Prompt], length: Callable[[Turns], int], limit: int | None, long: LongPrompts
) -> FittedPrompts:
    """The rule applied to prompts of more than `limit` tokens.

    Raises:
        DataError: the rule is `error` and there are such prompts, or none is left on one side.
    """
    if limit is None:
        return FittedPrompts(prompts=prompts)
    every = [*prompts.train, *prompts.heldout]
    lengths = {prompt: length(prompt.turns) for prompt in every}
    over = [prompt.turns for prompt in every if lengths[prompt] > limit]
    if not over:
        return FittedPrompts(prompts=prompts, limit=limit)
    why = f"longer than the {limit} tokens that the model's positions leave beside a response"
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
        which = "to train on" if kept.heldout else "to evaluate on"
        raise DataError(
            f"{count}{names}: none is left {which}; lower generation.max_new_tokens, or set"
            " data.on_long_prompt=truncate_left"
        )
    warning = f"{count}, and are left out{names}"
    return FittedPrompts(prompts=kept, limit=limit, dropped=len(over), warning=warning)
