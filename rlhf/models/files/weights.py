"""The weights of a model: in its files, and loaded, before anybody uses them."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from rlhf.functional.finite import in_words, nonfinite_names
from rlhf.rundir.errors import ModelError, NonFinite


def weights_bytes(model: nn.Module) -> int:
    """The bytes of a model's weights, on the disk as in memory."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def check_whole(model: nn.Module, missing: Collection[str], where: str | Path) -> None:
    """Raises ModelError where weights of the model were not in its files, and are random now."""
    if not missing:
        return
    first, kind = sorted(missing)[:3], type(model).__name__
    rest = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    raise ModelError(
        [
            f"{where}: has no weights for {', '.join(first)}{rest} of {kind}: they would be random."
            f" Expected a whole {kind}, as save_pretrained writes it"
        ]
    )


def check_weights(model: nn.Module, where: str | Path) -> None:
    """Raises NonFinite where a weight is NaN or infinite; it names each tensor."""
    if bad := nonfinite_names(model.named_parameters()):
        raise NonFinite(
            f"{where}: weights that are NaN or infinite: {in_words(bad)}; expected finite numbers."
            " Take another model; where this is a stage's artifact, move it away and the same"
            " command trains it again"
        )


def saved_types(folder: Path) -> set[str]:
    """The types of the tensors in a folder's safetensors files, as these write them: {"F32"}. Reads
    their headers alone: 8 bytes with their length, then JSON."""
    types = set()
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        types |= {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"}
    return types


def make_patterns(model: PreTrainedModel) -> None:
    """Has transformers make the thousand patterns by which it renames weights as it loads them, and
    which it keeps as long as the process lives."""
    from transformers.conversion_mapping import get_model_conversion_mapping

    get_model_conversion_mapping(model)
