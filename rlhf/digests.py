"""sha256 of values and files: what data, stages and runs are found again by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any


def digest(value: Any) -> str:
    """sha256 (hex) of a plain value, or a dataclass of such, as canonical JSON: keys sorted, no
    spaces, ASCII only."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def one_spelling(value: Any) -> Any:
    """`value` with one spelling of each number, so that `kl.coef=0` and `kl.coef=0.0` are the same
    run."""
    if isinstance(value, Mapping):
        return {str(key): one_spelling(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [one_spelling(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
