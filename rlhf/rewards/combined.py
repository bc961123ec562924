"""A reward that is a weighted sum or a product of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from rlhf.arguments import one_of
from rlhf.rewards.checks import RESERVED, parts_faults
from rlhf.rollout.score import Responses, Scorer


class CombinedScorer(Scorer):
    """sum_i w_i r_i, or prod_i r_i ^ w_i, of the parts' scores r_i.

    Each r_i comes after the part's own rules (`missing_eos`, `reward_clip`) and before its weight,
    and is shown as `reward/<its name>`, the whole as `reward/combined`; its rules come after that.

    Args:
        parts: scorers by the name that each is shown by.
        weights: by the same names, 1 where none is given; in a product whole numbers above 0.

    Raises:
        ValueError: there is no part, or a name or weight cannot be.
    """

    def __init__(
        self,
        parts: Mapping[str, Scorer],
        weights: Mapping[str, float] | None = None,
        how: Literal["sum", "product"] = "sum",
        **rules: Any,
    ) -> None:
        super().__init__(**rules)
        self.how = one_of("how", how, ("sum", "product"))
        ensembles = [name for name, part in parts.items() if hasattr(part, "members")]
        for key, reason in parts_faults(parts, weights or {}, how, ensembles):
            raise ValueError(f"{key} {reason}")
        self.parts, self.measured = dict(parts), (*parts, "combined")
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in parts}
        every = parts.values()
        self.needs_reward_model = any(getattr(p, "needs_reward_model", True) for p in every)
        self.needs_gold = any(getattr(part, "needs_gold", False) for part in every)
        self.needs_references = any(getattr(part, "needs_references", False) for part in every)

    def measures(self, responses: Responses) -> dict[str, Tensor]:
        """The parts; of an ensemble among them what it makes of its members too."""
        own: dict[str, Tensor] = {}
        for part in self.parts.values():
            own |= getattr(part, "measures", lambda responses: {})(responses)
        by_models = {name: score for name, score in own.items() if name in RESERVED}
        parts = responses.once(self, self._parts)
        return {**by_models, **parts, "combined": self.score(responses)}

    def _parts(self, responses: Responses) -> dict[str, Tensor]:
        device = responses.rollout.tokens.device
        return {
            name: part.clip(part(responses)).float().to(device) for name, part in self.parts.items()
        }

    def score(self, responses: Responses) -> Tensor:
        parts = responses.once(self, self._parts)
        if self.how == "sum":
            return torch.stack([self.weights[name] * r for name, r in parts.items()]).sum(0)
        return torch.stack([r ** self.weights[name] for name, r in parts.items()]).prod(0)

    def identity(self) -> Any:
        own: dict[str, Any] = {
            name: getattr(part, "identity", lambda: None)() for name, part in self.parts.items()
        }
        return {name: value for name, value in own.items() if value is not None} or None

    def prepare(self) -> None:
        for part in self.parts.values():
            getattr(part, "prepare", lambda: None)()
