"""Rows that begin alike, with each beginning once: answers to one prompt share the prompt.

a b c d e          a b c d e, and behind it the own ends of the others:
a b c f       ->   f, which sees a b c, and g h, which sees a b
a b g h
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rlhf.at_once import AtOnce

# shared tokens of two rows, and of all tokens their share: of fewer what it takes to see them from
# several rows costs more than to read them again
LEAST = 8
LEAST_SHARE = 0.05

Span = tuple[int, int]  # of places, half-open


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Rows as one, in which each has an own end behind the beginnings that it shares.

    The own ends stand one behind the other and are queries; the same tokens are keys in `pieces`,
    cut wherever a row leaves another.
    """

    ids: tuple[int, ...]  # N of them
    positions: tuple[int, ...]  # N, each in its row
    own: tuple[int, ...]  # tokens of the own ends
    pieces: tuple[int, ...]  # tokens of the pieces
    seen: tuple[tuple[int, ...], ...]  # for each own end the pieces of its row, in order
    last: tuple[int, ...]  # where each row's last token is, rows in the order that they were given

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], least: int = LEAST) -> Shared:
        """The rows, none of them empty, of which none shares fewer than `least` tokens."""
        ids: list[int] = []
        positions: list[int] = []
        spans: list[list[Span]] = []  # of the rows that have an own end
        last = [0] * len(rows)
        before: Sequence[int] = ()
        path: list[Span] = []  # of the row before
        for row in sorted(range(len(rows)), key=lambda row: tuple(rows[row])):
            shared = common(before, rows[row])
            path = first(path, shared) if shared >= least else []
            shared = shared if path else 0
            if own := rows[row][shared:]:
                path = [*path, (len(ids), len(ids) + len(own))]
                ids += own
                positions += range(shared, len(rows[row]))
                spans.append(path)
            last[row], before = path[-1][1] - 1, rows[row]
        cuts = sorted({end for path in spans for span in path for end in span})
        number = {cut: i for i, cut in enumerate(cuts)}
        return cls(
            ids=tuple(ids),
            positions=tuple(positions),
            own=tuple(path[-1][1] - path[-1][0] for path in spans),
            pieces=tuple(end - start for start, end in pairwise(cuts)),
            seen=tuple(
                tuple(i for start, end in path for i in range(number[start], number[end]))
                for path in spans
            ),
            last=tuple(last),
        )


def in_common(tokens: Tensor, real: Tensor) -> Shared | None:
    """The rows [B, L] of their real tokens; None where they have too little in common. A row has
    one real token at least."""
    rows = ids_of(tokens, real)
    shared, tokens_of_all = Shared.of(rows), sum(map(len, rows))
    saved = tokens_of_all - len(shared.ids)
    return shared if saved >= LEAST_SHARE * tokens_of_all else None


def ids_of(tokens: Tensor, real: Tensor) -> list[list[int]]:
    """The real tokens of each row [B, L]."""
    every, ends = tokens[real].tolist(), real.sum(dim=1).cumsum(dim=0).tolist()
    return [every[start:end] for start, end in pairwise([0, *ends])]


def alike(rows: Sequence[Sequence[int]], at_once: AtOnce) -> list[list[int]]:
    """Rows as groups of places, each of which goes through a network at once, in the order of their
    ids: those that begin alike are together. What a row shares with the one before it in its group
    is no token of its own."""
    most_rows, most_tokens = at_once.rows or math.inf, at_once.tokens or math.inf
    groups: list[list[int]] = []
    tokens, before = 0, -1
    for row in sorted(range(len(rows)), key=lambda row: tuple(rows[row])):
        shared = common(rows[before], rows[row]) if groups else 0
        tokens += len(rows[row]) - (shared if shared >= LEAST else 0)
        if not groups or len(groups[-1]) >= most_rows or tokens > most_tokens:
            groups.append([])
            tokens = len(rows[row])
        groups[-1].append(row)
        before = row
    return groups


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two rows have in common at their beginnings."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


def first(path: Sequence[Span], count: int) -> list[Span]:
    """The spans of the first `count` places of a path."""
    spans = []
    for start, end in path:
        if count <= 0:
            break
        spans.append((start, min(end, start + count)))
        count -= end - start
    return spans


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, shared: Shared, **settings: Any
) -> Tensor:
    """Causal attention of each row to itself: query, key, value [1, heads, N, size] ->
    [1, N, heads, size]."""
    keys, values = key.split(shared.pieces, dim=2), value.split(shared.pieces, dim=2)
    outputs, settings["is_causal"] = [], True
    for own, seen in zip(query.split(shared.own, dim=2), shared.seen, strict=True):
        k, v = (torch.cat([x[i] for i in seen], dim=2) for x in (keys, values))
        # None: causal, which needs no mask where the row is whole
        mask = None if own.shape[2] == k.shape[2] else behind(own.shape[2], k)
        outputs.append(sdpa_attention_forward(module, own, k, v, mask, **settings)[0])
    return torch.cat(outputs, dim=1)


def behind(count: int, key: Tensor) -> Tensor:
    """What a row's last `count` tokens see of its keys [1, heads, L, size]: [1, 1, count, L], True
    up to each one itself."""
    length = key.shape[2]
    seen = torch.ones(count, length, dtype=torch.bool, device=key.device)
    return seen.tril_(length - count)[None, None]
