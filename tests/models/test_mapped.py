"""Weights that nothing trains lie in their file, mapped: processes with the same model share them
(python -m benchmarks.memory shared)."""

import os
from pathlib import Path

import pytest
import torch

from rlhf.models.load import load_causal_lm, load_scalar_model, scalar_model_from
from tests.conftest import tiny

SMAPS = Path("/proc/self/smaps")
pytestmark = pytest.mark.skipif(not SMAPS.exists(), reason="needs Linux's smaps")


def mapped(folder):
    """Bytes of this process in the folder's weights: resident, and written to (so copied)."""
    sums, counts = {"Rss": 0, "Private_Dirty": 0}, False
    for line in SMAPS.read_text().splitlines():
        name, _, rest = line.partition(":")
        if "-" in name.split()[0]:
            counts = line.endswith(str(folder / "model.safetensors"))
        elif counts and name in sums:
            sums[name] += 1024 * int(rest.split()[0])
    return sums


def on_the_disk(folder):
    """What was written just now counts as written to wherever it is mapped."""
    with (folder / "model.safetensors").open("rb") as file:
        os.fdatasync(file.fileno())  # the tests have no fsync
    return folder


@pytest.fixture
def folder(tmp_path, tokenizer):
    tiny(tokenizer).save_pretrained(tmp_path / "policy")
    return on_the_disk(tmp_path / "policy")


def read(model):
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        return model(input_ids=ids).logits


def test_a_frozen_policy_lies_in_its_file(folder):
    model = load_causal_lm(folder).eval().requires_grad_(False).to("cpu")
    read(model)
    size = (folder / "model.safetensors").stat().st_size
    assert mapped(folder)["Rss"] >= size
    assert mapped(folder)["Private_Dirty"] == 0


def test_a_frozen_reward_model_lies_in_its_file(tmp_path, tokenizer):
    scalar_model_from(tiny(tokenizer), seed=0).save(tmp_path, tokenizer)
    model = load_scalar_model(on_the_disk(tmp_path)).eval().requires_grad_(False)
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        model.score(ids, torch.ones_like(ids, dtype=torch.bool))
    assert mapped(tmp_path)["Rss"] > 0
    assert mapped(tmp_path)["Private_Dirty"] == 0


def test_what_is_trained_is_a_copy_and_the_file_stays(folder):
    before = (folder / "model.safetensors").read_bytes()
    other, model = load_causal_lm(folder), load_causal_lm(folder)
    expected = read(other)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert mapped(folder)["Private_Dirty"] > 0
    assert torch.equal(read(other), expected)
    assert (folder / "model.safetensors").read_bytes() == before


def test_another_type_is_read_into_memory(folder):
    """Its numbers are others than the file's: nothing is mapped, nothing is refused."""
    model = load_causal_lm(folder, dtype=torch.bfloat16)
    assert read(model).dtype == torch.bfloat16
    del model
    assert mapped(folder)["Private_Dirty"] == 0
