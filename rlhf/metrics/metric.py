"""What is said of a metric, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["more", "less"] | None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`better`: the direction that is better; None where neither is."""

    name: str
    title: str
    unit: str = ""
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
        return f"{self.title}, {self.unit}" if self.unit else self.title
