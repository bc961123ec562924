"""Finds the numbers that are NaN or infinite: in rows, by name, in a record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def nonfinite_rows(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """[B] True where a row of x [B] or [B, T] holds NaN or an infinity; with a mask [B, T], at a
    token that counts."""
    bad = ~torch.isfinite(x)
    if x.ndim == 1:
        return bad
    return (bad if mask is None else bad & mask).any(dim=1)


def nonfinite_names(named: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
    """Of each named tensor with NaN or infinite entries, their number. Whole numbers are finite.

    Where all are finite, one number comes back from each device.
    """
    floats = [(name, x.detach()) for name, x in named if x.is_floating_point()]
    by_device: dict[torch.device, list[Tensor]] = {}
    for _, x in floats:
        by_device.setdefault(x.device, []).append(torch.isfinite(x).all())
    if all(bool(torch.stack(flags).all()) for flags in by_device.values()):
        return {}
    counts = {name: int((~torch.isfinite(x)).sum()) for name, x in floats}
    return {name: count for name, count in counts.items() if count}


def nonfinite_metrics(record: Mapping[str, float], prefixes: tuple[str, ...]) -> dict[str, float]:
    """The metrics under these prefixes that are NaN or infinite.

    Two may be: a standard error (`..._se`), where there is one response only, and an explained
    variance, where the returns do not vary.
    """
    return {
        name: value
        for name, value in record.items()
        if name.startswith(prefixes)
        and not name.endswith(("_se", "explained_variance"))
        and not math.isfinite(value)
    }


def tensors_of(tree: Any, at: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of nested dicts, lists and tuples, by its path: `state_dict.policy.weight`."""
    if isinstance(tree, Tensor):
        yield at, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from tensors_of(value, f"{at}.{key}" if at else str(key))
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from tensors_of(value, f"{at}.{index}")


def in_words(counts: Mapping[str, int], shown: int = 3) -> str:
    """`policy.head.weight (3 entries), policy.norm.weight (1 entry) and 4 more`."""
    first = [f"{n} ({c} entr{'y' if c == 1 else 'ies'})" for n, c in [*counts.items()][:shown]]
    rest = len(counts) - len(first)
    return ", ".join(first) + (f" and {rest} more" if rest else "")
