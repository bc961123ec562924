"""A run's one way from turns to ids. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from rlhf.data.conversations import ASSISTANT, USER, Turn, Turns
from rlhf.data.records import DataError
from rlhf.data.rendering import spelled
from rlhf.data.rendering.choice import Template
from rlhf.data.rendering.spans import Rendered, Span, TemplateError, encoded, tokens_of
from rlhf.data.rendering.writer import Writer

END_WITH_EOS = (
    "{%- if messages[-1].role == 'assistant' and not add_generation_prompt -%}"
    "{{- eos_token -}}{%- endif -%}"
)
TRIED = 1000  # words, to see how a tokenizer decodes a second one
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
    _writer: Writer = field(init=False, repr=False)

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
        self._writer = Writer(self.tokenizer, self.template.text)
        try:
            if self._end() is None:
                self.template = self.template._replace(text=self.template.text + END_WITH_EOS)
                self._writer = Writer(self.tokenizer, self.template.text)
            if self._end() is None:
                raise TemplateError("it writes no special token after an answer, not even EOS")
        except TemplateError as error:
            raise DataError(f"data.template={self.template.name}: {error}") from None

    # --- what the template says

    @property
    def opening(self) -> str:
        return self._writer.opening  # the generation prompt

    def _end(self) -> tuple[int, tuple[int, ...]] | None:
        """The special token that the template writes after the last answer, and what follows it."""
        whole = self.conversations([self.probe])[0]
        (_, after), end = whole.answers[-1], whole.ends[-1]
        return None if after == end else (whole.ids[after - 1], tuple(whole.ids[after:]))

    def _words(self) -> Iterator[str]:
        """Words that the tokenizer knows, by id: of letters, for digits may lose their space."""
        ordinary = sorted({*self.tokenizer.get_vocab().values()} - self._special_ids)
        words = (self.tokenizer.decode([i]).strip() for i in ordinary)
        return (word for word in words if word.isalpha())

    @cached_property
    def probe(self) -> Turns:
        """A question and an answer of one word."""
        word = next(self._words(), "a")
        return (Turn(USER, word), Turn(ASSISTANT, f" {word}"))

    @cached_property
    def lead(self) -> str:
        """What the template writes between the generation prompt and the last answer's content, as
        a response's text has it: without special tokens."""
        written = self._writer.frame(self.probe).leads[1]
        return self._special.sub("", written)

    @cached_property
    def anchor(self) -> tuple[int, ...]:
        """A token of text to decode a response after, where the tokenizer drops the space that a
        text begins with or puts one between tokens; empty where a part decodes as in the whole."""
        for word in islice(self._words(), TRIED):
            ids = self.tokenizer(f"{word} {word}", add_special_tokens=False)["input_ids"]
            if len(ids) == 2:
                whole, first, second = map(self.tokenizer.decode, (ids, ids[:1], ids[1:]))
                return () if whole == first + second else (int(ids[0]),)
        return ()

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

    # --- ids

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        own = self.tokenizer.added_tokens_decoder
        ends = {int(self.tokenizer.eos_token_id), *self.model_stops}
        return frozenset(ends | {i for i, token in own.items() if token.special})

    @cached_property
    def _last_ends(self) -> frozenset[int]:
        """The special tokens that can end a last answer: all but those that no text ends with."""
        own = {self.tokenizer.bos_token_id, self.tokenizer.unk_token_id}
        return self._special_ids - (own - {int(self.tokenizer.eos_token_id), *self.model_stops})

    @cached_property
    def _turn_ends(self) -> frozenset[int]:
        """The tokens that can end an answer before others, where the next turn's first token may be
        special too: those that end a response, and the one that ends a question."""
        literal = self._writer.asks(self.probe[:1])[-1]
        ids = self.tokenizer(literal, add_special_tokens=False)["input_ids"]
        question = [i for i in ids if i in self._last_ends][:1]
        return frozenset({*self.stop_ids, *question})

    @cached_property
    def _special(self) -> re.Pattern[str]:
        own = self.tokenizer.added_tokens_decoder.values()
        names = [re.escape(token.content) for token in own if token.special]
        return re.compile("|".join(names) or "(?!)")

    @cached_property
    def _control(self) -> re.Pattern[str]:
        return spelled.control_tokens(self.tokenizer, self.template.text)

    def _spells(self, turns: Turns) -> bool:
        """True if a content spells out a special token."""
        return any(self._special.search(turn.content) for turn in turns)

    def _as_text(self, turns: Turns, *, generation: bool) -> list[int]:
        """Ids of a conversation whose contents spell out special tokens: those are text."""
        try:
            ids: list[int] = self.tokenizer.apply_chat_template(
                [turn._asdict() for turn in turns],
                chat_template=self.template.text,
                add_generation_prompt=generation,
                sanitize_control_tokens=True,
                return_dict=False,
            )
        except ValueError as error:
            raise TemplateError(str(error)) from None
        return list(ids)

    def prompt(self, turns: Turns) -> list[int]:
        """Ids of a question, with all that stands before its answer. Never empty."""
        return self.prompts([turns])[0]

    def prompts(self, every: Sequence[Turns]) -> list[list[int]]:
        """The same of several, in their order; raises TemplateError."""
        rows: list[list[int]] = []
        for start in range(0, len(every), BATCH):
            batch = every[start : start + BATCH]
            for turns in batch:
                self._writer.asks(turns)
            texts = self._writer.texts(batch, generation=True)
            ids = encoded(self.tokenizer, texts)["input_ids"]
            rows += [
                self._as_text(turns, generation=True) if self._spells(turns) else list(row)
                for turns, row in zip(batch, ids, strict=True)
            ]
        return rows

    def conversations(self, every: Sequence[Turns]) -> list[Rendered]:
        """Whole conversations, which end with an answer, in their order; raises TemplateError."""
        rows: list[Rendered] = []
        for start in range(0, len(every), BATCH):
            batch = every[start : start + BATCH]
            texts = self._writer.texts(batch, generation=False)
            whole = encoded(self.tokenizer, texts, return_offsets_mapping=True)
            columns = zip(batch, texts, whole["input_ids"], whole["offset_mapping"], strict=True)
            rows += [
                self._spelling(turns)
                if self._spells(turns)
                else self._rendered(turns, text, list(ids), offsets)
                for turns, text, ids, offsets in columns
            ]
        return rows

    def _spelling(self, turns: Turns) -> Rendered:
        """A conversation whose contents spell out special tokens."""
        turns = spelled.clean(turns)
        rendered = self._writer.text(spelled.mark(turns, self._control))
        text, ids, offsets = spelled.encode(self.tokenizer, rendered, self._control)
        if ids != self._as_text(turns, generation=False):
            raise TemplateError("it changes contents that spell out special tokens")
        return self._rendered(turns, text, ids, offsets)

    def _rendered(
        self, turns: Turns, text: str, ids: list[int], offsets: Sequence[Span]
    ) -> Rendered:
        ranges, ends = [], []
        spots = [self._spot(text, *each) for each in zip(ids, offsets, strict=True)]
        wrote = self._writer.answers(turns, text)
        for i, answer in enumerate(wrote, 1):
            first, end = tokens_of(answer, spots)
            after = next((j for j, (at, _) in enumerate(spots) if at >= answer.after), len(ids))
            by = self._last_ends if i == len(wrote) else self._turn_ends
            stop = next((j + 1 for j in range(end, after) if ids[j] in by), end)
            ranges.append((first, stop))
            ends.append(end)
        return Rendered(ids=ids, answers=tuple(ranges), ends=tuple(ends))

    def _spot(self, text: str, token: int, offset: Span) -> Span:
        """Where a token stands: a special one may swallow the blanks beside it, which are none of
        its own."""
        if token not in self._special_ids:
            return offset
        name = self.tokenizer.convert_ids_to_tokens(token)
        at = text.find(name, *offset)
        return offset if at < 0 else (at, at + len(name))
