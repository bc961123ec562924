"""Turns to text by a chat template, and what in the text the assistant wrote. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rlhf.data.conversations import ASSISTANT, USER, Turn, Turns
from rlhf.data.rendering.spans import (
    MARK,
    TRIMS,
    Answer,
    Frame,
    Skeleton,
    TemplateError,
    answers,
    contents,
    lead,
    marked,
    skeleton,
)

# what a template's own mistakes raise
FAULTS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
ALTERED = "it changes contents, so nothing tells which tokens are the assistant's"


@dataclass(frozen=True)
class Writer:
    """What `apply_chat_template` of a tokenizer writes by one template (jinja)."""

    tokenizer: Any
    template: str
    _frames: dict[tuple[str, ...], Frame] = field(default_factory=dict, repr=False)
    _asked: dict[tuple[str, ...], Skeleton] = field(default_factory=dict, repr=False)

    def texts(self, conversations: Sequence[Turns], *, generation: bool) -> list[str]:
        """Each conversation's text, `generation`: ready to be answered. Raises TemplateError."""
        import jinja2

        try:
            rendered: list[str] = self.tokenizer.apply_chat_template(
                [[turn._asdict() for turn in turns] for turns in conversations],
                chat_template=self.template,
                add_generation_prompt=generation,
                tokenize=False,
            )
        except jinja2.exceptions.TemplateSyntaxError as error:
            raise TemplateError(f"line {error.lineno}: {error.message}") from None
        except (jinja2.exceptions.TemplateError, *FAULTS) as error:
            raise TemplateError(str(error)) from None
        return rendered

    def text(self, turns: Turns, *, generation: bool = False) -> str:
        return self.texts([turns], generation=generation)[0]

    @cached_property
    def opening(self) -> str:
        """The generation prompt: what stands between a question and its answer."""
        question = (Turn(USER, "a"),)
        asked, ready = (self.text(question, generation=flag) for flag in (False, True))
        return ready[len(asked) :] if ready.startswith(asked) else ""

    def frame(self, turns: Turns) -> Frame:
        """What the template writes around the contents of turns with these roles.

        Raises:
            TemplateError: it leaves out a turn.
        """
        roles = tuple(turn.role for turn in turns)
        if roles not in self._frames:
            whole = marked(turns)
            bones = skeleton(self.text(whole), turns)
            leads = {
                i: lead(bones, i, self.asks(whole[:i])[-1], self.opening)
                for i in by_assistant(turns)
            }
            self._frames[roles] = Frame(bones=bones, leads=leads)
        return self._frames[roles]

    def asks(self, turns: Turns) -> Skeleton:
        """The same of a prompt, ready to be answered."""
        roles = tuple(turn.role for turn in turns)
        if roles not in self._asked:
            rendered = self.text(marked(turns), generation=True)
            self._asked[roles] = skeleton(rendered, turns)
        return self._asked[roles]

    def answers(self, turns: Turns, text: str) -> list[Answer]:
        """Where each answer stands in the conversation's text."""
        frame = self.frame(turns)
        spans = contents(text, frame.bones, turns)
        return (
            self._altered(turns, text)
            if spans is None
            else answers(text, spans, turns, frame.leads)
        )

    def _altered(self, turns: Turns, text: str) -> list[Answer]:
        """The same where the template changes contents (it takes old thoughts away): an answer
        begins where the conversation before it ends, and goes on to what the template writes after
        it."""
        bones, wrote = self.frame(turns).bones, []
        for i in by_assistant(turns):
            before, at = self._before(turns, i, text), bones.index(str(i), 1) + 1
            literal, later = bones[at], at + 1 < len(bones)
            if later:
                content = turns[int(bones[at + 1])].content
                ends = (text.find(literal + trim(content), len(before)) for trim in TRIMS)
                end = next((place for place in ends if place >= 0), -1)
            else:
                end = len(text) - len(literal) if text.endswith(literal) else -1
            if end < len(before):
                raise TemplateError(ALTERED)
            wrote.append(Answer(len(before), end, end + len(literal)))
        return wrote

    def _before(self, turns: Turns, i: int, text: str) -> str:
        """The beginning of the text that stands before the answer: the conversation ready to be
        answered, or what the template writes before another answer."""
        before = self.text(turns[:i], generation=True)
        if not text.startswith(before):
            other = self.text((*turns[:i], *marked(turns[i : i + 1])))
            before = other[: other.index(MARK.format(0))]
        if not text.startswith(before):
            raise TemplateError(ALTERED)
        return before


def by_assistant(turns: Turns) -> list[int]:
    """The indices of the assistant's turns."""
    return [i for i, turn in enumerate(turns) if turn.role == ASSISTANT]
