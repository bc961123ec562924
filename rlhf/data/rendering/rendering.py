"""A run's one way from turns to ids. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rlhf.data.conversations import ASSISTANT, USER, Turn, Turns
from rlhf.data.records import DataError
from rlhf.data.rendering.choice import Template
from rlhf.data.rendering.spans import (
    Rendered,
    Skeleton,
    TemplateError,
    answers,
    contents,
    marked,
    skeleton,
    tokens_of,
)

END_WITH_EOS = (
    "{%- if messages[-1].role == 'assistant' and not add_generation_prompt -%}"
    "{{- eos_token -}}{%- endif -%}"
)
BATCH = 256  # conversations that are rendered and tokenized together


@dataclass
class Rendering:
    """Turns to ids by the tokenizer's `apply_chat_template` with one template. What looks like a
    special token in a content is text.

    Args:
        tokenizer: a fast one; the template is not set on it.
        template: the run's; one that ends no answer with a special token gets EOS after the last.
        model_stops: ids that end a response by the model's configurations, beside the tokenizer's.

    Raises:
        DataError: the template cannot be used with this tokenizer.
    """

    tokenizer: Any
    template: Template
    model_stops: Sequence[int] = ()
    _skeletons: dict[tuple[str, ...], Skeleton] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.tokenizer.eos_token_id is None:
            raise DataError(
                "the tokenizer has no EOS token: set eos_token before training, a response could"
                " never end"
            )
        if not self.tokenizer.is_fast:
            raise DataError(
                f"the tokenizer {type(self.tokenizer).__name__} does not tell where its tokens"
                " stand in a text: save it with tokenizer.json"
            )
        try:
            if self._end() is None:
                self.template = self.template._replace(text=self.template.text + END_WITH_EOS)
                self._skeletons.clear()
            if self._end() is None:
                raise TemplateError("it writes no special token after an answer, not even EOS")
        except TemplateError as error:
            raise DataError(f"data.template={self.template.name}: {error}") from None

    # --- what the template says

    @cached_property
    def opening(self) -> str:
        """The generation prompt: what stands between a question and its answer."""
        asked, open_ = (self._text(self._probe[:1], generation=flag) for flag in (False, True))
        return open_[len(asked) :] if open_.startswith(asked) else ""

    def _end(self) -> tuple[int, tuple[int, ...]] | None:
        """The special token that the template writes after the last answer, and what follows it."""
        whole = self.conversations([self._probe])[0]
        (_, after), end = whole.answers[-1], whole.ends[-1]
        return None if after == end else (whole.ids[after - 1], tuple(whole.ids[after:]))

    @cached_property
    def _probe(self) -> Turns:
        """A question and an answer of one word that the tokenizer knows."""
        ordinary = sorted({*self.tokenizer.get_vocab().values()} - self._special_ids)
        words = (self.tokenizer.decode([i]).strip() for i in ordinary)
        word = next((word for word in words if word.isalnum()), "a")
        return (Turn(USER, word), Turn(ASSISTANT, f" {word}"))

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end a response: the one after the template's answers, the tokenizer's EOS and
        the model's own. The first is the one that training writes."""
        end = self._end()
        assert end is not None
        return tuple(dict.fromkeys([end[0], int(self.tokenizer.eos_token_id), *self.model_stops]))

    @cached_property
    def closing(self) -> tuple[int, ...]:
        """Ids that the template writes after the last answer's stop token (a line break)."""
        end = self._end()
        assert end is not None
        return end[1]

    @property
    def pad_id(self) -> int:
        """Any id will do for padding, since masks decide what counts: the pad token's, or EOS where
        there is none."""
        own = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if own is None else own)

    # --- text

    def _texts(self, conversations: Sequence[Turns], *, generation: bool) -> list[str]:
        import jinja2

        try:
            rendered: list[str] = self.tokenizer.apply_chat_template(
                [[turn._asdict() for turn in turns] for turns in conversations],
                chat_template=self.template.text,
                add_generation_prompt=generation,
                tokenize=False,
            )
        except jinja2.exceptions.TemplateError as error:
            raise TemplateError(str(error)) from None
        return rendered

    def _text(self, turns: Turns, *, generation: bool) -> str:
        return self._texts([turns], generation=generation)[0]

    def _skeleton(self, turns: Turns) -> Skeleton:
        roles = tuple(turn.role for turn in turns)
        if roles not in self._skeletons:
            self._skeletons[roles] = skeleton(self._text(marked(turns), generation=False))
        return self._skeletons[roles]

    # --- ids

    @cached_property
    def _special(self) -> re.Pattern[str]:
        """Tokens that a tokenizer finds in a text before all others, the longest first."""
        longest = sorted(map(str, self.tokenizer.added_tokens_encoder), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest)) or "(?!)")

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        own = self.tokenizer.added_tokens_decoder
        ends = {int(self.tokenizer.eos_token_id), *self.model_stops}
        return frozenset(ends | {i for i, token in own.items() if token.special})

    def _spelled(self, turns: Turns) -> bool:
        """True if a content spells out a special token."""
        return any(self._special.search(turn.content) for turn in turns)

    def _as_text(self, turns: Turns, *, generation: bool) -> list[int]:
        """Ids of a conversation whose contents spell out special tokens: those are text."""
        ids: list[int] = self.tokenizer.apply_chat_template(
            [turn._asdict() for turn in turns],
            chat_template=self.template.text,
            add_generation_prompt=generation,
            sanitize_control_tokens=True,
            return_dict=False,
        )
        return list(ids)

    def prompt(self, turns: Turns) -> list[int]:
        """Ids of a question, with all that stands before its answer. Never empty."""
        return self.prompts([turns])[0]

    def prompts(self, every: Sequence[Turns]) -> list[list[int]]:
        """The same of several, in their order; raises TemplateError."""
        rows: list[list[int]] = []
        for start in range(0, len(every), BATCH):
            batch = every[start : start + BATCH]
            texts = self._texts(batch, generation=True)
            ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
            rows += [
                self._as_text(turns, generation=True) if self._spelled(turns) else list(row)
                for turns, row in zip(batch, ids, strict=True)
            ]
        return rows

    def conversations(self, every: Sequence[Turns]) -> list[Rendered]:
        """Whole conversations, which end with an answer, in their order; raises TemplateError."""
        rows: list[Rendered] = []
        for start in range(0, len(every), BATCH):
            batch = every[start : start + BATCH]
            texts = self._texts(batch, generation=False)
            encoded = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
            columns = zip(
                batch, texts, encoded["input_ids"], encoded["offset_mapping"], strict=True
            )
            rows += [self._rendered(*row) for row in columns]
        return rows

    def _rendered(
        self, turns: Turns, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]
    ) -> Rendered:
        spans = contents(text, self._skeleton(turns), turns)
        if spans is None or self._spelled(turns):
            return self._by_prefixes(turns)
        starts = [start for start, _ in offsets]
        ranges, ends = [], []
        for answer in answers(text, spans, turns, self.opening):
            first, end = tokens_of(answer, starts)
            ranges.append((first, self._after_stop(ids, end)))
            ends.append(end)
        return Rendered(ids=list(ids), answers=tuple(ranges), ends=tuple(ends))

    def _after_stop(self, ids: Sequence[int], end: int) -> int:
        """The index after the special token that ends an answer, blanks before it passed over;
        `end` where none does."""
        at = end
        while at < len(ids) and not self.tokenizer.decode([ids[at]]).strip():
            at += 1
        return at + 1 if at < len(ids) and ids[at] in self._special_ids else end

    def _by_prefixes(self, turns: Turns) -> Rendered:
        """The same where characters do not tell: an answer begins where the conversation before it,
        ready to be answered, ends."""
        ids = self._as_text(turns, generation=False)
        ranges, ends = [], []
        for i, turn in enumerate(turns):
            if turn.role != ASSISTANT:
                continue
            before = self._as_text(turns[:i], generation=True)
            upto = self._as_text(turns[: i + 1], generation=False)
            if ids[: len(before)] != before or (i + 1 < len(turns) and ids[: len(upto)] != upto):
                raise TemplateError(
                    "the template changes contents, so nothing tells which tokens are the"
                    " assistant's"
                )
            after = len(upto) - len(self.closing)
            ranges.append((len(before), after))
            ends.append(after - 1)
        return Rendered(ids=ids, answers=tuple(ranges), ends=tuple(ends))
