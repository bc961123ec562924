"""Drawing responses: the settings, what ends them, and what draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rlhf.functional.sequences import last_index
from rlhf.types import PromptBatch, Rollout


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings of the draws. Only temperature 1, top_k 0 and top_p 1 draw from the policy
    itself."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def plain(self) -> Sampling:
        """The same length, drawn from the policy itself."""
        return Sampling(max_new_tokens=self.max_new_tokens)


@dataclass(frozen=True, kw_only=True)
class Stops:
    """What ends a response, and where its own text begins."""

    ids: tuple[int, ...]  # each ends it; the first is the one that the run's template writes
    texts: tuple[str, ...] = ()  # strings that end it too
    closing: tuple[int, ...] = ()  # ids that the template writes after the first stop id
    lead: str = ""  # what the template writes before an answer's content (a space)
    anchor: tuple[int, ...] = ()  # a token to decode after, where a text's first space gets lost

    @classmethod
    def of(cls, rendering: Any, texts: Sequence[str] = ()) -> Stops:
        """Those of a run's rendering (`rlhf.data.rendering`), and the strings of its config."""
        return cls(
            ids=rendering.stop_ids,
            texts=tuple(texts),
            closing=rendering.closing,
            lead=rendering.lead,
            anchor=rendering.anchor,
        )

    @property
    def most_after(self) -> int:
        """The most ids that `after` gives."""
        return len(self.closing) + bool(self.texts)

    def after(self, last: int) -> tuple[int, ...]:
        """The ids that the template would write after a response that ended with the id `last`; one
        that a string ended has no stop token yet."""
        return self.closing if last in self.ids else (self.ids[0], *self.closing)


class Engine(Protocol):
    """Draws responses from the policy as it is at the moment of the call."""

    def respond(
        self,
        prompts: PromptBatch,
        sampling: Sampling,
        generator: torch.Generator,
        rows: Tensor | None = None,
    ) -> Rollout:
        """One response to each prompt, every draw from `generator`; T is the longest of them. Where
        the prompts are some `rows` [B] of a larger batch, the responses are those of its rows."""


def decode(rollout: Rollout, tokenizer: Any, stops: Stops) -> list[str]:
    """Each response's text, without what ended it and whatever stands after that: the content that
    the template would write as these tokens, so without what it writes before a content."""
    texts = []
    for row, counted in zip(rollout.tokens.tolist(), rollout.mask.sum(1).tolist(), strict=True):
        last = counted and row[counted - 1] in stops.ids
        text = in_context(row[: counted - int(last)], tokenizer, stops.anchor)
        texts.append(before_stop(text, stops.texts).removeprefix(stops.lead))
    return texts


def closed(rollout: Rollout, tokenizer: Any, stops: Stops) -> tuple[Tensor, Tensor]:
    """tokens, mask [B, L + C]: prompt and response as the template writes a whole conversation, so
    what it writes after an answer stands after each that ended, and no string that ended one is
    counted."""
    tokens, mask = rollout.sequence, rollout.attention
    last = rollout.tokens.gather(1, last_index(rollout.mask)[:, None]).squeeze(1).tolist()
    after = [
        stops.after(token) if ended else ()
        for token, ended in zip(last, rollout.ended.tolist(), strict=True)
    ]
    if stops.texts:
        mask = torch.cat([rollout.prompt.mask, _answers(rollout, last, tokenizer, stops)], dim=1)
    if not (width := max(map(len, after))):
        return tokens, mask
    extra, counted = (
        torch.zeros(len(after), width, dtype=kind) for kind in (torch.long, torch.bool)
    )
    for row, ids in enumerate(after):
        extra[row, : len(ids)], counted[row, : len(ids)] = torch.tensor(ids), True
    return torch.cat([tokens, extra.to(tokens)], 1), torch.cat([mask, counted.to(mask)], 1)


def _answers(rollout: Rollout, last: list[int], tokenizer: Any, stops: Stops) -> Tensor:
    """[B, T] the rollout's mask without the tokens of strings that ended responses. One that holds
    the end of the answer too is counted."""
    mask = rollout.mask.clone()
    columns = (rollout.tokens, rollout.mask.sum(1), rollout.ended)
    rows = zip(*(column.tolist() for column in columns), last, strict=True)
    for i, (ids, count, ended, end) in enumerate(rows):
        if ended and end not in stops.ids:
            text = before_stop(in_context(ids[:count], tokenizer, stops.anchor), stops.texts)
            while count and in_context(ids[: count - 1], tokenizer, stops.anchor).startswith(text):
                count -= 1
            mask[i, count:] = False
    return mask


def in_context(ids: Sequence[int], tokenizer: Any, anchor: Sequence[int]) -> str:
    """The text of tokens that stand after others, `anchor` among them."""
    before: str = tokenizer.decode(list(anchor), skip_special_tokens=True) if anchor else ""
    whole: str = tokenizer.decode([*anchor, *ids], skip_special_tokens=True)
    return whole.removeprefix(before)


def before_stop(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stop strings."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]
