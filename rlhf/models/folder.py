"""A model's folder that cannot be loaded, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlhf.rundir.errors import ModelError, NonFinite

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


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
