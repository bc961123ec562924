"""The shape of a model that is here as files: by its `config.json` and the headers of its
safetensors, of which no weight is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

from rlhf.config.pieces.model import HFModel, TinyModel
from rlhf.config.schema import Config
from rlhf.estimates.shape import ModelShape, shape_of
from rlhf.models.files.adapter import base_of, is_adapter
from rlhf.rundir.errors import ModelError

WORDS = 300  # tokens of the shipped sources of data that do not say how many they have
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it


def shape_in(cfg: Config) -> ModelShape | None:
    """The shape of the policy that a config begins with; None where a piece of the user's own makes
    it, or its files are not here or do not tell."""
    model = cfg.model
    if (path := cfg.sft.path) is not None:
        return shape_of_folder(folder_of(path))
    if isinstance(model, TinyModel):
        vocabulary = int(getattr(cfg.data, "vocabulary", WORDS))
        return shape_of(tiny_config(model, vocabulary))
    if isinstance(model, HFModel):
        return shape_of_folder(folder_of(model.path, model.revision))
    return None


def shape_of_folder(folder: Path | None) -> ModelShape | None:
    with suppress(OSError, ValueError):
        if folder is not None:
            config = json.loads((folder / "config.json").read_text())
            return shape_of(config) or shape_of(config, parameters_in(folder))
    return None


def tiny_config(model: TinyModel, vocabulary: int) -> dict[str, Any]:
    """As `rlhf.models.load.TinyModel` makes it."""
    return {
        "model_type": model.architecture,
        "vocab_size": vocabulary,
        "hidden_size": model.hidden_size,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "tie_word_embeddings": True,
    }


def folder_of(path: str, revision: str | None = None) -> Path | None:
    """The folder, or that of the hub's cache; None where neither is here. Of an adapter that of the
    network it stands beside."""
    folder = Path(path)
    if is_adapter(folder):
        with suppress(ModelError):
            base = base_of(folder)
            return folder_of(base.path, base.revision)
        return None
    if folder.is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with suppress(HFValidationError):
        file = try_to_load_from_cache(path, "config.json", revision=revision)
        if isinstance(file, str):
            return Path(file).parent
    return None


def parameters_in(folder: Path) -> int | None:
    """The numbers in a folder's safetensors; None where there is no such file."""
    counts = [count for file in folder.glob("*.safetensors") for count in _counts(file)]
    return sum(counts) or None


def matrices_in(folder: Path) -> set[str]:
    """The names of the modules whose weights are matrices: linear layers, embeddings, a head."""
    return {
        name.removesuffix(".weight")
        for file in folder.glob("*.safetensors")
        for name, tensor in _tensors(file)
        if name.endswith(".weight") and len(tensor["shape"]) == 2
    }


def _counts(file: Path) -> Iterator[int]:
    """Of each tensor of floats."""
    for _, tensor in _tensors(file):
        if tensor["dtype"] in FLOATS:
            yield prod(tensor["shape"])


def _tensors(file: Path) -> Iterator[tuple[str, Any]]:
    """Name and facts of each tensor: a file begins with its header's length in 8 bytes, and that is
    JSON.

    Raises:
        ValueError: it does not.
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > LONGEST_HEADER:
            raise ValueError(f"{file} has no header of safetensors")
        header = json.loads(stream.read(length))
    yield from ((name, tensor) for name, tensor in header.items() if name != "__metadata__")
