"""Checks that losses, gradients, weights and metrics of a stage are finite, before they are used or
saved. `where` is the stage and the iteration, for the message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from rlhf.functional.finite import in_words, nonfinite_metrics
from rlhf.models.sharding.whole import nonfinite_parts
from rlhf.rundir.errors import NonFinite

Named = Iterable[tuple[str, torch.nn.Parameter]]
# metrics of the stages; those of callbacks of one's own may be NaN
OURS = (
    "train/",
    "val/",
    "ppo/",
    "reward/",
    "kl/",
    "policy/",
    "response/",
    "trust_region/",
    "eval/",
)


def check_update(losses: Sequence[Tensor], norm: Tensor, parameters: Named, where: str) -> None:
    """Raises NonFinite where a micro-batch's loss, or the norm of the step's gradient over all
    weights, is NaN or infinite: one number a step leaves the device."""
    if bool(torch.isfinite(torch.stack([*losses, norm])).all()):
        return
    values = ", ".join(str(float(x)) for x in losses if not torch.isfinite(x))
    loss = f"the loss is {values}" if values else "the loss is finite"
    if bad := nonfinite_parts((name, p.grad) for name, p in parameters if p.grad is not None):
        raise NonFinite(f"{where}: {loss}, its gradient is NaN or infinite at {in_words(bad)}")
    raise NonFinite(f"{where}: {loss}, the norm of its gradient is {float(norm)}")


def check_updated(parameters: Named, where: str) -> None:
    """Raises NonFinite where a weight is NaN or infinite after an iteration's updates."""
    if bad := nonfinite_parts(parameters):
        raise NonFinite(f"{where}: weights are NaN or infinite after its updates: {in_words(bad)}")


def check_record(record: Mapping[str, float], where: str) -> None:
    """Raises NonFinite where a metric of an iteration is NaN or infinite."""
    if bad := nonfinite_metrics(record, OURS):
        listed = ", ".join(f"{name} is {value}" for name, value in bad.items())
        raise NonFinite(f"{where}: {listed}")
