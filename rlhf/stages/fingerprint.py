"""A stage's fingerprint: sha256 of everything that decides its result."""

from __future__ import annotations

from typing import Any

from rlhf.digests import digest, one_spelling

# Raised when the code of a stage changes what the same config gives: artifacts of older code are
# then no longer found.
CODE_VERSION = 1


def fingerprint(stage: str, **parts: Any) -> str:
    """16 hex digits over the stage's name, the code version and `parts` (plain JSON values)."""
    return digest(one_spelling({"stage": stage, "code": CODE_VERSION, **parts}))[:16]
