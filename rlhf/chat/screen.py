"""Two answers side by side in a terminal, their tokens coloured by their KL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rlhf.metrics import KL, SCORE

FULL = 3.0  # nats of a token at which its colour is the strongest
MORE, LESS = (214, 69, 65), (52, 120, 198)  # likelier under the policy; under the reference
_DARK = (0, 0, 0)


def colour(nats: float) -> str | None:
    """The background of a token: red where the policy made it likelier (log pi - log ref above 0),
    blue where less likely; None where there is next to nothing to see."""
    strength = min(abs(nats) / FULL, 1.0) if math.isfinite(nats) else 1.0
    if strength < 0.05:
        return None
    end = MORE if nats > 0 else LESS
    mixed = (round(a + (b - a) * strength) for a, b in zip(_DARK, end, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def coloured(tokens: Sequence[str], nats: Sequence[float]) -> Text:
    """The response, each token on its colour; a line's end also goes on one line further."""
    text = Text()
    for token, value in zip(tokens, nats, strict=True):
        background = colour(value)
        text.append(token, style=f"white on {background}" if background else "")
    return text


def numbers(reply: Mapping[str, Any]) -> str:
    """`score +0.34  proxy +0.34  gold -1.20  KL 2.31 nats  17 tokens`."""
    rewards = [
        f"{key.removeprefix('reward/')} {reply[key]:+.3g}"
        for key in reply
        if key.startswith("reward/")
    ]
    if SCORE in reply:
        rewards.insert(0, f"score {reply[SCORE]:+.3g}")
    length = f"{len(reply['tokens'])} tokens" + ("" if reply["ended"] else ", not ended")
    return "  ".join([*rewards, f"KL {reply[KL]:.3g} nats", length])


def beside(replies: Mapping[str, Mapping[str, Any]]) -> Table:
    """A column a side."""
    grid = Table(expand=True, show_lines=False, header_style="bold")
    cells: list[RenderableType] = []
    for side, reply in replies.items():
        grid.add_column(side, ratio=1, overflow="fold")
        text = coloured(reply["tokens"], reply["token_kl"])
        cells.append(Group(text, Text(f"\n{numbers(reply)}", style="dim")))
    grid.add_row(*cells)
    return grid


def legend(console: Console) -> None:
    """What the colours mean, where there are any."""
    if not console.color_system:
        return
    text = Text("tokens: ", style="dim")
    for nats, words in ((FULL, "likelier under the policy"), (-FULL, "less likely")):
        text.append(f" {words} ", style=f"white on {colour(nats)}").append(" ")
    console.print(text.append(f"than under the reference, full at {FULL:g} nats", style="dim"))
