"""How many rows go through a network at once, and which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

# real tokens of a pack: what fills a core's matrix products, or those of a GPU; more need more
# memory and gain nothing
PACK, GPU_PACK = 1024, 16384
# the smallest shape that a step of drawing is captured for, on a GPU: fewer rows, or slots of keys
# and values, save nothing that counts beside reading the weights
GRAPH_ROWS, GRAPH_SLOTS = 8, 64


@dataclass(frozen=True, kw_only=True)
class AtOnce:
    """What goes through a network at once: at most so many rows, and at most so many real tokens
    (padding is not counted), but one row at least. None: no limit."""

    rows: int | None = None
    tokens: int | None = None

    @property
    def limits(self) -> bool:
        return self.rows is not None or self.tokens is not None

    def reading(self, device: str) -> AtOnce:
        """The limits of passes that learn nothing: where there are none, packs of as many tokens as
        are worth while on the device (cpu, cuda)."""
        return self if self.limits else AtOnce(tokens=PACK if device == "cpu" else GPU_PACK)

    def shared_by(self, networks: int, rows: int | None = None) -> AtOnce:
        """The limits with which so many networks' numbers, which live together, take the place of
        one's; one row at least. `rows`: of a pass where nothing limits it."""
        whole = self if self.limits else AtOnce(rows=rows)
        fewer = [each and max(1, each // networks) for each in (whole.rows, whole.tokens)]
        return AtOnce(rows=fewer[0], tokens=fewer[1])

    def of(self, count: int, length: int) -> int:
        """Of `count` rows of `length` tokens each, those that go through at once."""
        within = count if self.tokens is None else self.tokens // max(length, 1)
        return max(1, min(within, count if self.rows is None else self.rows))

    def cut(self, lengths: Sequence[int]) -> list[list[int]]:
        """Rows of these lengths in tokens as groups of indices, each of which goes through at once:
        the longest first, so that rows of like length are together."""
        most_rows, most_tokens = self.rows or math.inf, self.tokens or math.inf
        groups: list[list[int]] = []
        tokens = 0
        for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
            tokens += lengths[row]
            if not groups or len(groups[-1]) >= most_rows or tokens > most_tokens:
                groups.append([])
                tokens = lengths[row]
            groups[-1].append(row)
        return groups


def micro_batches(
    steps: Sequence[Sequence[int]], at_once: AtOnce, ranks: int = 1
) -> list[list[list[int]]]:
    """For each optimizer step of rows of so many tokens the places of each micro-batch's rows.

    All steps have the same number of micro-batches, as a loop counts them and ranks wait for each
    other: the fewest, times `ranks`, with which the largest keeps to `at_once`, one row at least.
    A micro-batch has none where a step has too few.
    """
    for splits in count(max(-(-_fewest(tokens, at_once) // ranks) for tokens in steps)):
        groups = [balanced(tokens, splits * ranks, at_once.rows) for tokens in steps]
        if all(
            _fit(own, tokens, at_once.tokens) for own, tokens in zip(groups, steps, strict=True)
        ):
            return groups
    raise AssertionError  # with a row a micro-batch they fit


def balanced(tokens: Sequence[int], groups: int, rows: int | None = None) -> list[list[int]]:
    """Rows of so many tokens each in groups of about equally many: the longest first, each to the
    group with the fewest (Graham 1969), of at most `rows` rows. The places of each group in
    order."""
    made: list[list[int]] = [[] for _ in range(groups)]
    lightest = [(0, group) for group in range(groups)]
    for row in sorted(range(len(tokens)), key=lambda row: -tokens[row]):
        load, group = heappop(lightest)
        made[group].append(row)
        if rows is None or len(made[group]) < rows:
            heappush(lightest, (load + tokens[row], group))
    return [sorted(group) for group in made]


def _fewest(tokens: Sequence[int], at_once: AtOnce) -> int:
    """Groups that the limits leave at the least."""
    by_rows = 1 if at_once.rows is None else -(-len(tokens) // at_once.rows)
    by_tokens = 1 if at_once.tokens is None else -(-sum(tokens) // at_once.tokens)
    return min(max(by_rows, by_tokens), len(tokens))


def _fit(groups: Sequence[Sequence[int]], tokens: Sequence[int], most: int | None) -> bool:
    return most is None or all(
        len(group) <= 1 or sum(tokens[row] for row in group) <= most for group in groups
    )


def rounded(count: int, least: int) -> int:
    """The least of the numbers 2^k and 3 * 2^k that is neither below `count` nor below `least`, so
    that few shapes serve all counts, with at most a third too much."""
    power = 1 << (max(count, least) - 1).bit_length()
    return 3 * power // 4 if power > 2 and 3 * power // 4 >= max(count, least) else power
