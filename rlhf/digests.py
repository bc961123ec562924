"""sha256 of values and files: what data, stages and runs are found again by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any


def digest(value: Any) -> str:
    """sha256 (hex) of a plain value, or a dataclass of such, as canonical JSON: keys sorted, no
    spaces, ASCII only."""
    # the encoder asks for one dataclass at a time: a tenth of the time of `asdict`, same text
    other = _fields if is_dataclass(value) and not isinstance(value, type) else str
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=other)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _fields(value: Any) -> Any:
    """A dataclass as a mapping of its fields, anything else as text."""
    names = _names(type(value))  # type: ignore[arg-type]
    return str(value) if names is None else {name: getattr(value, name) for name in names}


@cache
def _names(kind: type) -> tuple[str, ...] | None:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


def one_spelling(value: Any) -> Any:
    """`value` with one spelling of each number, so that `kl.coef=0` and `kl.coef=0.0` are the same
    run."""
    if isinstance(value, Mapping):
        return {str(key): one_spelling(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [one_spelling(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


# of a model's folder: what decides what the model and its tokenizer give
DECIDING = (".safetensors", ".safetensors.index.json", ".jinja", ".model", ".gguf", ".txt")
DECIDING_JSON = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "chat_template.json"),
    *("adapter_config.json", "backbone.json"),
)


def model_digests(folder: Path) -> dict[str, str]:
    """File -> sha256 (hex) of a model's folder: of weights, configuration and tokenizer, not of
    what tells who made them."""
    files = (
        path
        for path in folder.iterdir()
        if path.is_file() and (path.name.endswith(DECIDING) or path.name in DECIDING_JSON)
    )
    stats = ((path, path.stat()) for path in sorted(files))
    return {
        path.name: _digest_once(path.resolve(), s.st_size, s.st_mtime_ns, s.st_ino)
        for path, s in stats
    }


@cache
def _digest_once(path: Path, size: int, changed: int, inode: int) -> str:
    """Weights are big and asked for by every stage: read once as long as they look the same."""
    return file_digest(path)


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
