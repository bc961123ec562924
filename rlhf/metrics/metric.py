"""What is said of a metric, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["more", "less"] | None
# units that a title says already, so that a chart's heading has none of them
SHARE, COUNT, YES_NO = "share", "count", "0 or 1"
REWARD, PER_NAT, NUMBER = "reward", "reward per nat", "plain number"
IN_TITLE = frozenset((SHARE, COUNT, YES_NO, REWARD, PER_NAT, NUMBER))


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`better`: the direction that is better; None where neither is."""

    name: str
    title: str
    unit: str
    better: Better = None
    label: str = ""  # in a line of a screen
    form: str = ".4g"  # of the number there

    @property
    def keys(self) -> tuple[str, str]:
        """In training, else on the held-out prompts."""
        return self.name, f"eval/{self.name}"

    @property
    def heading(self) -> str:
        """Title and unit, as over a chart."""
        return self.title if self.unit in IN_TITLE else f"{self.title}, {self.unit}"
