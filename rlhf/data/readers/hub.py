"""Data sets of the Hugging Face hub, read by the package `datasets` (the extra of that name)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

HUB = "hub:"
FORM = f"{HUB}owner/name, {HUB}owner/name:split or {HUB}owner/name/config:split"


def name_of(place: str) -> tuple[str, str | None, str]:
    """(name, config, split) of `hub:owner/name/config:split`; the split is `train` where none is
    given. ValueError where it is written otherwise."""
    whole, colon, split = place.removeprefix(HUB).partition(":")
    parts = whole.split("/")
    if not 1 <= len(parts) <= 3 or not all(parts) or (colon and not split):
        raise ValueError(f"{place}: write {FORM}")
    return "/".join(parts[:2]), parts[2] if len(parts) == 3 else None, split or "train"


def read_hub(place: str, faults: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 1, row); one fault in a sentence where `datasets` is not installed, or
    cannot get the set."""
    try:
        name, config, split = name_of(place)
    except ValueError as error:
        faults.append(str(error))
        return
    try:
        from datasets import load_dataset
    except ImportError:
        faults.append(
            f"{place}: sets of the hub are read by the package datasets, which is not installed:"
            " pip install 'rlhf[datasets]', or give a file"
        )
        return
    try:
        rows = load_dataset(name, config, split=split)
    except Exception as error:  # of the net, the hub, its files: some forty classes
        reason = (str(error).splitlines() or [""])[0]
        faults.append(f"{place}: cannot be got from the hub ({type(error).__name__}: {reason})")
        return
    yield from enumerate((dict(row) for row in rows), start=1)
