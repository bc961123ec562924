import os

import pytest
import torch

from rlhf.models.files.folder import saving
from rlhf.models.load import TinyModel, load_causal_lm, load_tokenizer
from rlhf.rundir.disk.space import DiskError
from rlhf.rundir.errors import ModelError
from tests.conftest import tiny


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def folder(tmp_path, tokenizer):
    tiny(tokenizer).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_pickled_weights_are_never_opened(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    torch.save({"x": Bomb(tmp_path / "executed")}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError) as error:
        load_causal_lm(folder)
    (fault,) = error.value.faults
    assert fault.startswith(f"{folder} holds its weights in pytorch_model.bin: a pickle can")
    assert "nothing in it was executed" in fault and not (tmp_path / "executed").exists()


def test_a_pickle_beside_safetensors_is_left_alone(folder, tmp_path):
    torch.save({"x": Bomb(tmp_path / "executed")}, folder / "pytorch_model.bin")
    load_causal_lm(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02pickle" * 100, None])
def test_files_that_cannot_be_read_are_named(folder, content):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9] if content is None else content)
    with pytest.raises(
        ModelError, match="model cannot be loaded .SafetensorError.*expected config"
    ):
        load_causal_lm(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="model cannot be loaded"):
        load_tokenizer(folder)


def test_a_model_that_has_no_room_leaves_nothing_of_itself(small_disk, tokenizer):
    disk = small_disk("64k")
    (disk / "metrics.jsonl").write_text("{}\n")
    model = tiny(tokenizer)
    (disk / "filler").write_bytes(b"x" * 40_000)
    with pytest.raises(DiskError, match="no space is left on its disk .needed"):
        TinyModel(architecture="llama", hidden_size=16, layers=2, heads=2, seed=0).save(
            model, tokenizer, disk
        )
    assert sorted(path.name for path in disk.iterdir()) == ["filler", "metrics.jsonl"]


def test_saved_weights_can_be_read_by_whoever_reads_the_configuration(tmp_path, tokenizer):
    model, folder = tiny(tokenizer), tmp_path / "model"
    folder.mkdir()
    with saving(folder, model):
        model.save_pretrained(folder)
    modes = {(folder / name).stat().st_mode for name in ("config.json", "model.safetensors")}
    assert len(modes) == 1
