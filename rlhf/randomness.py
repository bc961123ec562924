"""Every random draw is a pure function of where it happens; nothing reads or moves global RNG
state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(seed: int, *where: str | int) -> int:
    """63 bits of sha256 over (seed, where...): distinct places get unrelated streams."""
    digest = hashlib.sha256(repr((seed, *where)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *where: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for one purpose, e.g. `generator(seed, "ppo", "rollout", iteration,
    rank)`."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *where))


@contextmanager
def seeded_global_rng(seed: int, *where: str | int) -> Iterator[None]:
    """For library code that draws from torch's global RNG (weight initialisation): seeded
    inside, restored after."""
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, *where))
        yield
