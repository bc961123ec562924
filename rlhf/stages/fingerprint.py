"""A stage's identity: sha256 of everything that decides its result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, is_dataclass
from typing import Any

# Raised when the code of a stage changes what the same config gives: artifacts of older code are
# then no longer found.
CODE_VERSION = 1


def fingerprint(stage: str, **parts: Any) -> str:
    """16 hex digits over the stage's name, the code version and `parts` (plain JSON values)."""
    text = json.dumps(
        {"stage": stage, "code": CODE_VERSION, **parts}, sort_keys=True, ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content(value: Any) -> str:
    """sha256 (hex) of a dataclass of rows (or anything JSON can hold) as canonical JSON."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
