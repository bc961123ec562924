"""A model's folder that cannot be loaded, or written, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from rlhf.digests import model_digests
from rlhf.models.files.weights import weights_bytes
from rlhf.rundir.disk.space import DiskError, writing
from rlhf.rundir.errors import ModelError, NonFinite

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def folder_identity(path: str | Path) -> Any:
    """The sha256 of each file of a model's folder that decides what is loaded; of a name on the hub
    None."""
    folder = Path(path)
    if not folder.is_dir():
        return None
    return model_digests(folder)


@contextmanager
def loading(path: str | Path) -> Iterator[None]:
    """Whatever is loaded inside, from a folder of this computer or from the hub.

    Raises:
        ModelError: the folder holds pickled weights only, which are never opened, or files that
            cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        yield
        return
    try:
        yield
    except (ModelError, NonFinite):
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")[:200]
        fault = pickled(folder) or f"{folder} cannot be loaded ({type(error).__name__}: {first})"
        raise ModelError(
            [f"{fault}; expected config.json, tokenizer.json and model.safetensors"]
        ) from error


@contextmanager
def saving(folder: Path, model: nn.Module) -> Iterator[None]:
    """Whatever writes a model and its tokenizer into a folder. Where the disk refuses, the files
    that it began are taken away again.

    Raises:
        DiskError: it does.
    """
    before = _times(folder)
    try:
        with writing(folder, weights_bytes(model)):
            yield
            _readable(folder, before)
    except DiskError:
        for path, time in _times(folder).items():
            if before.get(path) != time:
                path.unlink(missing_ok=True)
        raise


def _readable(folder: Path, before: dict[Path, int]) -> None:
    """New weights for all who can read the configuration beside them: safetensors 0.8 writes files
    that only their owner can read, whatever the umask."""
    configs = (folder / name for name in ("config.json", "backbone.json"))
    config = next((path for path in configs if path.is_file()), None)
    if config is None:
        return
    for path, time in _times(folder).items():
        if path.suffix == ".safetensors" and before.get(path) != time:
            path.chmod(config.stat().st_mode & 0o777)


def _times(folder: Path) -> dict[Path, int]:
    if not folder.is_dir():
        return {}
    return {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}


def pickled(folder: Path) -> str | None:
    """The reason where a folder has weights, but only as pickles."""
    files = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if not files or any(folder.glob("*.safetensors")):
        return None
    return (
        f"{folder} holds its weights in {', '.join(files[:3])}: a pickle can hold code, which runs"
        " when it is loaded, so it was not opened and nothing in it was executed. Where you trust"
        " it, load it with transformers and save it again with save_pretrained"
    )
