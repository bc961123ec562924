"""Answers of an endpoint on disk, a file each, by a hash of what was asked: a second run asks
nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from rlhf.digests import digest
from rlhf.rundir.disk.space import writing
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_object


def key_of(url: str, body: Mapping[str, Any]) -> str:
    """sha256 (hex) of the endpoint's address and the request: the model, the messages and how the
    answer is drawn."""
    return digest({"url": url, "request": body})


class Answers:
    """`<root>/<2 digits>/<hash>.json`. Without a root nothing is kept."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def place(self, key: str) -> Path | None:
        return None if self.root is None else self.root / key[:2] / f"{key}.json"

    def find(self, key: str) -> str | None:
        """The text that was answered, None where nobody asked or the file is damaged."""
        place = self.place(key)
        text = (read_object(place) or {}).get("answer") if place is not None else None
        return text if isinstance(text, str) else None

    @contextmanager
    def alone(self, keys: Collection[str]) -> Iterator[None]:
        """One process at a time asks for the same answers: the next one, another rank of the run,
        finds them kept."""
        if self.root is None:
            yield
            return
        place = self.root / digest(sorted(keys))[:2] / ".lock"
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place):
            yield

    def keep(self, key: str, text: str, model: str) -> None:
        """`model`: as the endpoint names the one that answered."""
        place = self.place(key)
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_json(place, {"answer": text, "model": model})
