"""Prompts as ids, each rendered once."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from rlhf.data.conversations import Turns
from rlhf.data.rendering.rendering import Rendering


class PromptIds:
    """`rendering.prompts`, remembered: a prompt is drawn in many iterations. Four bytes an id."""

    def __init__(self, rendering: Rendering) -> None:
        self.rendering = rendering
        self._ids: dict[Turns, array[int]] = {}

    def __call__(self, prompts: Sequence[Turns]) -> list[array[int]]:
        """The ids of each prompt, in their order; raises TemplateError."""
        missing = [*dict.fromkeys(turns for turns in prompts if turns not in self._ids)]
        rows = self.rendering.prompts(missing)
        self._ids.update({t: array("i", ids) for t, ids in zip(missing, rows, strict=True)})
        return [self._ids[turns] for turns in prompts]
