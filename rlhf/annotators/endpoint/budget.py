"""How much an endpoint may be asked, and what it has cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from rlhf.rundir.errors import RunFailed

MILLION = 1e6
MOST_TOKENS = 10**9  # of one request: what an endpoint tells beyond is no count


class Unreachable(RunFailed):
    """An endpoint gave no answer: it is down, it refuses, or a limit was met. No key stands in the
    sentence."""


class Abandoned(Unreachable):
    """Nobody waits for this answer any more: another one could not be had."""


@dataclass(kw_only=True)
class Budget:
    """Counts the requests of this process and their price; each attempt is a request.

    Prices are of a million tokens, in the currency of `max_cost`. Requests that are under way when
    a limit is met still end, so that a cost can pass its limit by theirs.
    """

    max_requests: int | None = None
    max_cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    requests: int = 0
    cost: float = 0.0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self) -> None:
        """Before each request.

        Raises:
            Unreachable: a limit is met.
        """
        with self._lock:
            if self.max_requests is not None and self.requests >= self.max_requests:
                raise Unreachable(
                    f"annotator.max_requests={self.max_requests} are made; raise it to go on"
                )
            if self.max_cost is not None and self.cost >= self.max_cost:
                raise Unreachable(
                    f"annotator.max_cost={self.max_cost:g} is spent ({self.cost:.4g}); raise it to"
                    " go on"
                )
            self.requests += 1

    def pay(self, usage: Mapping[str, Any], *, sent: int, received: int) -> None:
        """After each answer. `usage`: as the endpoint tells it; where it does not, each byte
        `sent` and `received` counts as a token, which is too many rather than too few."""
        tokens_in = _count(usage.get("prompt_tokens"), sent)
        tokens_out = _count(usage.get("completion_tokens"), received)
        with self._lock:
            self.cost += (tokens_in * self.price_in + tokens_out * self.price_out) / MILLION


def _count(value: Any, otherwise: int) -> int:
    known = isinstance(value, int) and not isinstance(value, bool)
    return value if known and 0 <= value <= MOST_TOKENS else otherwise
