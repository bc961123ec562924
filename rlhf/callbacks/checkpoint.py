"""Checkpoints that are whole, verified and at iteration boundaries; the last two are kept."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from rlhf.digests import file_digest
from rlhf.functional.finite import in_words, nonfinite_names, tensors_of
from rlhf.rundir.errors import NonFinite, RunFailed
from rlhf.rundir.files import sync_directory, write_bytes, write_text
from rlhf.rundir.read import read_text

log = logging.getLogger(__name__)

KEPT = 2
TODO = "Delete it, and the same command goes on from the checkpoint before it, or begins anew"
TRAINING_STATE = ("state_dict", "optimizer_states", "rlhf")  # parts of a checkpoint


def checkpoint_path(directory: Path, iteration: int) -> Path:
    return directory / "checkpoints" / f"iteration-{iteration:06d}.ckpt"


def digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


class AtomicCheckpointIO(CheckpointIO):
    """Written aside in the same directory, flushed, renamed; its sha256 is written after it and
    marks it complete."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Raises NonFinite, and writes nothing, where a tensor of the training's state is NaN or
        infinite."""
        if bad := nonfinite_in(checkpoint):
            raise NonFinite(f"{path} is not written: NaN or infinite are {in_words(bad)}")
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        data = buffer.getvalue()
        write_bytes(Path(path), data)
        write_text(digest_path(Path(path)), hashlib.sha256(data).hexdigest() + "\n")
        sync_directory(Path(path).parent)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Raises RunFailed, and executes nothing, where the file holds more than tensors and plain
        values, or cannot be read."""
        try:
            loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        except UnpicklingError as error:
            raise RunFailed(holds_code(path, error)) from None
        except OSError:
            raise
        except Exception as error:  # of a damaged file torch may raise anything
            why = first_line(error)
            raise RunFailed(f"{path} is no checkpoint that can be read ({why}). {TODO}") from error
        return loaded

    def remove_checkpoint(self, path: Any) -> None:
        digest_path(Path(path)).unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)


def holds_code(path: Any, error: Exception) -> str:
    """A pickle may name any function, which is called when it is loaded. Torch's own message says
    how to have that done; this one does not."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    what = f"it names {named[1]}" if named else "it is no plain pickle of tensors"
    return (
        f"{path} is no checkpoint of rlhf's: a checkpoint holds tensors and plain values, and this"
        f" file holds code ({what}). It was not loaded, and nothing in it was executed. Somebody"
        f" else wrote or changed it. {TODO}"
    )


def first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:100]


def is_whole(path: Path) -> bool:
    digest = read_text(digest_path(path))
    return digest is not None and path.is_file() and file_digest(path) == digest.strip()


def nonfinite_in(checkpoint: Mapping[str, Any]) -> dict[str, int]:
    """The tensors of the training's state that are NaN or infinite, and how many entries of each.
    A callback's state is its own: Lightning's EarlyStopping begins with a best score of inf."""
    return nonfinite_names(tensors_of({part: checkpoint.get(part) for part in TRAINING_STATE}))


def is_finite(path: Path) -> bool:
    """False, with a warning, where a tensor of the checkpoint is NaN or infinite: older versions
    saved such."""
    bad = nonfinite_in(AtomicCheckpointIO().load_checkpoint(path, "cpu"))
    if bad:
        log.warning("%s is passed over: NaN or infinite are %s", path, in_words(bad))
    return not bad


def last_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint whose digest is right and whose numbers are finite: a torn, damaged or
    diverged one is passed over for the one before."""
    newest_first = sorted((directory / "checkpoints").glob("iteration-*.ckpt"), reverse=True)
    return next((path for path in newest_first if is_whole(path) and is_finite(path)), None)


def prune(directory: Path) -> None:
    """Keeps the last two, and clears what a kill left half-written."""
    folder = directory / "checkpoints"
    for path in sorted(folder.glob("iteration-*.ckpt"), reverse=True)[KEPT:]:
        AtomicCheckpointIO().remove_checkpoint(path)
    for stray in folder.glob(".*.tmp"):
        stray.unlink(missing_ok=True)
