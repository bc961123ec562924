"""Checkpoints that are whole, verified and at iteration boundaries, and the choice of the one that
training goes on from."""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO, cast

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from rlhf.digests import file_digest
from rlhf.functional.finite import in_words, nonfinite_names, tensors_of
from rlhf.rundir.disk import aside
from rlhf.rundir.disk.hashed import hashed
from rlhf.rundir.errors import NonFinite, RunFailed
from rlhf.rundir.read import read_text
from rlhf.rundir.records import contents, missing_rows, unpacked

# Raised when a checkpoint's layout changes: what was written before loads, what comes after is
# refused. 1: `format` itself, and a copy of the run's records; before, there was no number.
FORMAT = 1
KEPT = 2
REMEDY = "Delete it, and the same command goes on from the checkpoint before it, or begins anew"
TRAINING_STATE = ("state_dict", "optimizer_states", "rlhf")  # parts of a checkpoint
ASIDE = ".damaged"


def checkpoint_path(directory: Path, iteration: int) -> Path:
    return directory / "checkpoints" / f"iteration-{iteration:06d}.ckpt"


def iteration_of(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def checkpoints(directory: Path) -> list[Path]:
    """A directory's checkpoints, the newest first. Files that somebody gave a name of his own are
    his."""
    there = (directory / "checkpoints").glob("iteration-*.ckpt")
    return sorted(filter(_is_named, there), key=iteration_of, reverse=True)


def _is_named(path: Path) -> bool:
    return re.fullmatch(r"iteration-\d{6,}", path.stem, re.ASCII) is not None


def digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


class AtomicCheckpointIO(CheckpointIO):
    """Checkpoints with their format's number and, beside them, their sha256."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Raises NonFinite, and writes nothing, where a tensor of the training's state is NaN or
        infinite."""
        if bad := nonfinite_in(checkpoint):
            raise NonFinite(f"{path} is not written: NaN or infinite are {in_words(bad)}")
        size = sum(tensor.nbytes for _, tensor in tensors_of(checkpoint))
        with hashed(Path(path), digest_path(Path(path)), size) as file:
            torch.save({**checkpoint, "format": FORMAT}, cast("BinaryIO", file))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Raises RunFailed, and executes nothing, where the file holds more than tensors and plain
        values, or cannot be read."""
        try:
            loaded: Any = torch.load(path, map_location=map_location, weights_only=True)
        except UnpicklingError as error:
            raise RunFailed(holds_code(path, error)) from None
        except OSError:
            raise
        except Exception as error:  # of a damaged file torch may raise anything
            why = first_line(error)
            raise RunFailed(
                f"{path} is no checkpoint that can be read ({why}). {REMEDY}"
            ) from error
        if not isinstance(loaded, dict):
            raise RunFailed(
                f"{path} is no checkpoint: it holds a {type(loaded).__name__}. {REMEDY}"
            )
        return loaded

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
        digest_path(Path(path)).unlink(missing_ok=True)


def holds_code(path: Any, error: Exception) -> str:
    """A pickle may name any function, which is called when it is loaded. Torch's own message says
    how to have that done; this one does not."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    what = f"it names {named[1]}" if named else "it is no plain pickle of tensors"
    return (
        f"{path} is no checkpoint of rlhf's: a checkpoint holds tensors and plain values, and this"
        f" file holds code ({what}). It was not loaded, and nothing in it was executed. Somebody"
        f" else wrote or changed it. {REMEDY}"
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


# --- the choice


@dataclass(frozen=True)
class Start:
    """The checkpoint that training goes on from, if there is one, and those that cannot be used,
    each with the reason."""

    path: Path | None = None
    refused: dict[Path, str] = field(default_factory=dict)

    @property
    def iteration(self) -> int:
        return 0 if self.path is None else iteration_of(self.path)


def choose(directory: Path, below: int | None = None) -> Start:
    """The newest checkpoint that is whole, finite and has its records: a torn, damaged or diverged
    one is passed over for the one before.

    Args:
        below: only of iterations before this one.

    Raises:
        RunFailed: the newest whole one is of a later format.
    """
    refused: dict[Path, str] = {}
    for path in checkpoints(directory):
        if below is not None and iteration_of(path) >= below:
            continue
        reason = why_not(path)
        if not reason:
            return Start(path, refused)
        refused[path] = reason
    return Start(None, refused)


def why_not(path: Path) -> str:
    """The reason why a checkpoint cannot be used; empty where it can."""
    if not digest_path(path).exists():
        return f"its {digest_path(path).name} is missing, so nothing says that it is whole"
    try:
        if not is_whole(path):
            return "its content is not what its sha256 says: it was damaged"
        checkpoint = AtomicCheckpointIO().load_checkpoint(path, "cpu")
    except OSError as error:  # a run that is at work removes its older ones
        return f"it cannot be read ({error.strerror})"
    written = checkpoint.get("format", 0)
    if not isinstance(written, int) or written > FORMAT:
        raise RunFailed(
            f"{path} is of checkpoint format {written}, and this version of rlhf knows those up to"
            f" {FORMAT}: go on with the version that wrote it, or move the file away to go on from"
            " an earlier state. Nothing was changed"
        )
    if bad := nonfinite_in(checkpoint):
        return f"NaN or infinite are {in_words(bad)}"
    if "records" in checkpoint:
        try:
            copy = records_in(checkpoint)
        except (AttributeError, TypeError, zlib.error):
            return "its copy of the records is none"
        lacking = missing_rows(copy, iteration_of(path))
        return lacking and f"in its copy of the records {lacking}"
    # one of the first format has no copy
    return "" if written else missing_rows(contents(path.parents[1]), iteration_of(path))


def records_in(checkpoint: Mapping[str, Any]) -> dict[str, bytes]:
    """The run's record files as they were when it was saved."""
    copy = checkpoint["records"].items()
    return unpacked({name: data.cpu().numpy().tobytes() for name, data in copy})


def last_checkpoint(directory: Path) -> Path | None:
    return choose(directory).path


def set_aside(path: Path) -> Path:
    """The damaged checkpoint's new name, beside the old: it is out of the way and not lost."""
    digest_path(path).unlink(missing_ok=True)
    return aside.set_aside(path)


def prune(directory: Path, keep: int = KEPT) -> None:
    """Keeps the last ones, and clears digests that a kill left alone."""
    folder = directory / "checkpoints"
    for path in checkpoints(directory)[keep:]:
        AtomicCheckpointIO().remove_checkpoint(path)
    for digest in folder.glob("iteration-*.sha256"):
        if _is_named(digest) and not digest.with_suffix(".ckpt").exists():
            digest.unlink(missing_ok=True)


def tidy(directory: Path, after_finish: str) -> None:
    """Of a run that is finished: keeps its last checkpoint, or (`none`) no checkpoint at all."""
    folder = directory / "checkpoints"
    if after_finish == "none":
        shutil.rmtree(folder, ignore_errors=True)
        return
    prune(directory, keep=1)
    for damaged in folder.glob(f"*{ASIDE}*"):
        damaged.unlink(missing_ok=True)
