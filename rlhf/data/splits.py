"""The prompts that are held out, and how a text becomes a prompt and a completion."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from rlhf.data.conversations import Prompt, split_key
from rlhf.data.records import Demonstration, Preference, Split

T = TypeVar("T")


def position(prompt: str, seed: int) -> float:
    """A number in [0, 1) that depends on the prompt and the seed alone (64 bits of sha256)."""
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def hold_out(groups: Iterable[Collection[str]], seed: int, fraction: float) -> frozenset[str]:
    """The keys to hold out: those whose position is below `fraction`, whatever their order and
    their neighbours.

    Each group (the keys of one file's prompts) gets at least one on each side where it has two or
    more: one with none held out gives its lowest, one with none left takes its highest back. An
    empty side can remain only where groups pull in two directions.
    """
    ranked = [
        sorted(set(group), key=lambda prompt: (position(prompt, seed), prompt)) for group in groups
    ]
    held = {prompt for group in ranked for prompt in group if position(prompt, seed) < fraction}
    for group in ranked:
        if len(group) > 1 and held.isdisjoint(group):
            held.add(group[0])
    for group in ranked:
        if len(group) > 1 and held.issuperset(group):
            held.remove(group[-1])
    return frozenset(held)


def key_of(row: Demonstration | Preference | Prompt) -> str:
    """The key by which a row is split: that of the turns that are answered."""
    return split_key(row.turns if isinstance(row, Prompt) else row.prompt)


def divide(rows: Iterable[T], held: Collection[str], by: Callable[[Any], str] = key_of) -> Split[T]:
    """Rows in their order, on the side of their key."""
    sides = [(row, by(row) in held) for row in rows]
    return Split(
        train=tuple(row for row, out in sides if not out),
        heldout=tuple(row for row, out in sides if out),
    )


def cut(text: str, words: int) -> tuple[str, str] | None:
    """The first `words` words, and the rest with the space before it; prompt + completion == text.

    A shorter text leaves its last word to the completion. None where there is one word or none.
    """
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    if len(ends) < 2:
        return None
    end = ends[min(words, len(ends) - 1) - 1]
    return text[:end], text[end:]
