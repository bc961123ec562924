"""A run's data, read once."""

from __future__ import annotations

from typing import NamedTuple

from rlhf.config.build import build
from rlhf.config.pieces.data import Data
from rlhf.data.records import Source, TaskData


class Loaded(NamedTuple):
    """A data source and the rows that it gave."""

    source: Source
    data: TaskData


def load_data(piece: Data) -> Loaded:
    """Builds the source and reads its rows.

    Raises:
        DataError: rows are wrong or missing.
    """
    source: Source = build(piece)
    return Loaded(source, source.load())
