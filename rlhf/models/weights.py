"""The weights of a model that was loaded, before anybody uses them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from rlhf.functional.finite import in_words, nonfinite_names
from rlhf.rundir.errors import NonFinite


def weights_bytes(model: nn.Module) -> int:
    """The bytes of a model's weights, on the disk as in memory."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def check_weights(model: nn.Module, where: str | Path) -> None:
    """Raises NonFinite where a weight is NaN or infinite; it names each tensor."""
    if bad := nonfinite_names(model.named_parameters()):
        raise NonFinite(
            f"{where}: weights that are NaN or infinite: {in_words(bad)}; expected finite numbers."
            " Take another model; where this is a stage's artifact, move it away and the same"
            " command trains it again"
        )
