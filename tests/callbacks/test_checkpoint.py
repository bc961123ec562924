import hashlib
import os

import pytest
import torch

from rlhf.callbacks.checkpoint import (
    KEPT,
    AtomicCheckpointIO,
    checkpoint_path,
    is_whole,
    last_checkpoint,
    prune,
)
from rlhf.rundir.errors import RunFailed


def save(directory, iteration):
    path = checkpoint_path(directory, iteration)
    AtomicCheckpointIO().save_checkpoint({"x": torch.arange(1000) + iteration}, path)
    return path


def test_the_newest_whole_one_is_found(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for i in (5, 10):
        save(tmp_path, i)
    assert last_checkpoint(tmp_path) == checkpoint_path(tmp_path, 10)
    assert torch.equal(
        AtomicCheckpointIO().load_checkpoint(checkpoint_path(tmp_path, 10))["x"],
        torch.arange(1000) + 10,
    )


def test_a_flipped_byte_a_cut_file_and_a_missing_digest_are_passed_over(tmp_path):
    save(tmp_path, 5)
    for damage in ("flip", "cut", "digest"):
        path = save(tmp_path, 10)
        data = bytearray(path.read_bytes())
        if damage == "flip":
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        elif damage == "cut":
            path.write_bytes(data[:-100])
        else:
            path.with_suffix(".sha256").unlink()
        assert not is_whole(path)
        assert last_checkpoint(tmp_path) == checkpoint_path(tmp_path, 5)


def test_the_last_two_are_kept_and_strays_are_cleared(tmp_path):
    for i in range(1, 6):
        save(tmp_path, i)
    (tmp_path / "checkpoints" / ".iteration-000006.ckpt.123.tmp").write_bytes(b"half")
    prune(tmp_path)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert KEPT == 2
    assert names == [f"iteration-00000{i}.{kind}" for i in (4, 5) for kind in ("ckpt", "sha256")]


def test_the_state_of_a_callback_may_be_infinite(tmp_path):
    """Lightning's EarlyStopping begins with a best score of inf."""
    path = checkpoint_path(tmp_path, 1)
    state = {"best_score": torch.tensor(torch.inf)}
    AtomicCheckpointIO().save_checkpoint({"callbacks": {"EarlyStopping": state}}, path)
    assert last_checkpoint(tmp_path) == path


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_file_that_holds_code_is_refused_and_nothing_in_it_is_executed(tmp_path):
    """Torch's own message says how to have the code executed; ours does not."""
    path, trace = checkpoint_path(tmp_path, 1), tmp_path / "executed"
    path.parent.mkdir()
    torch.save({"state_dict": Bomb(trace)}, path)
    path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(RunFailed) as error:
        last_checkpoint(tmp_path)
    assert str(error.value).startswith(
        f"{path} is no checkpoint of rlhf's: a checkpoint holds tensors and plain values, and this"
        " file holds code (it names posix.mkdir). It was not loaded, and nothing in it was executed"
    )
    assert "weights_only" not in str(error.value) and "Delete it" in str(error.value)
    assert not trace.exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    for content in (b"", b"text", bytes(range(256)) * 8):
        path.write_bytes(content)
        with pytest.raises(RunFailed, match="a.ckpt is no checkpoint"):
            AtomicCheckpointIO().load_checkpoint(path)


def test_odd_digests_are_no_digests(tmp_path):
    path = save(tmp_path, 5)
    for damage in (b"", b"\xff\x00", b"0" * 64):
        path.with_suffix(".sha256").write_bytes(damage)
        assert not is_whole(path)
    path.with_suffix(".sha256").unlink()
    path.with_suffix(".sha256").mkdir()
    assert not is_whole(path)
