import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rlhf.callbacks.checkpoint import (
    FORMAT,
    KEPT,
    AtomicCheckpointIO,
    checkpoint_path,
    checkpoints,
    choose,
    digest_path,
    is_whole,
    last_checkpoint,
    prune,
    set_aside,
    tidy,
)
from rlhf.digests import file_digest
from rlhf.rundir.disk.hashed import hashed
from rlhf.rundir.disk.space import DiskError
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import write_text

FIRST = Path(__file__).parents[1] / "stages" / "golden" / "first"  # before formats had numbers


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


def test_the_last_two_are_kept(tmp_path):
    for i in range(1, 6):
        save(tmp_path, i)
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


def save_as(directory, iteration, form):
    """A whole checkpoint of another format."""
    path = checkpoint_path(directory, iteration)
    buffer = io.BytesIO()
    torch.save({"rlhf": {"iteration": iteration}, **form}, buffer)
    with hashed(path, digest_path(path)) as file:
        file.write(buffer.getvalue())
    return path


def test_a_checkpoint_of_a_later_format_is_refused_and_nothing_is_changed(tmp_path):
    save(tmp_path, 5)
    path = save_as(tmp_path, 10, {"format": FORMAT + 1})
    before = {p: p.stat().st_mtime_ns for p in path.parent.iterdir()}
    with pytest.raises(RunFailed) as error:
        choose(tmp_path)
    assert f"{path} is of checkpoint format {FORMAT + 1}" in str(error.value)
    assert f"those up to {FORMAT}" in str(error.value)
    assert before == {p: p.stat().st_mtime_ns for p in path.parent.iterdir()}


def test_a_checkpoint_says_its_format_and_its_digest_is_that_of_the_file(tmp_path):
    path = save(tmp_path, 5)
    assert AtomicCheckpointIO().load_checkpoint(path)["format"] == FORMAT == 1
    assert digest_path(path).read_text().strip() == file_digest(path)


def golden(directory, *names):
    (directory / "checkpoints").mkdir()
    for kind in ("ckpt", "sha256"):
        name = f"iteration-000002.{kind}"
        shutil.copy(FIRST / name, directory / "checkpoints" / name)
    for name in ("metrics.jsonl", "timings.jsonl"):
        shutil.copy(FIRST / name, directory / name)


def test_a_checkpoint_of_the_first_format_loads(tmp_path):
    golden(tmp_path)
    start = choose(tmp_path)
    assert start.iteration == 2 and not start.refused
    state = AtomicCheckpointIO().load_checkpoint(start.path)
    assert "format" not in state and state["rlhf"]["iteration"] == 2
    assert state["rlhf"]["kl"]["controller"]["updates"] == 2


def test_a_checkpoint_of_the_first_format_is_not_used_where_rows_before_it_are_lost(tmp_path):
    """It holds no copy of them, so they are made again."""
    golden(tmp_path)
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text(rows[0] + rows[2])
    start = choose(tmp_path)
    assert start.path is None
    (reason,) = start.refused.values()
    assert reason == "metrics.jsonl lacks iteration 1"


def test_each_refusal_has_its_reason(tmp_path):
    flipped, odd, bare = (save(tmp_path, i) for i in (20, 15, 10))
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    digest_path(odd).write_bytes(b"\xff\x00")
    digest_path(bare).unlink()
    start = choose(tmp_path)
    assert start.path is None and start.iteration == 0
    damaged = "its content is not what its sha256 says: it was damaged"
    missing = "its iteration-000010.sha256 is missing, so nothing says that it is whole"
    assert start.refused == {flipped: damaged, odd: damaged, bare: missing}
    assert choose(tmp_path, below=15).refused == {bare: missing}


def test_damaged_checkpoints_are_set_aside_under_names_of_their_own(tmp_path):
    names = [set_aside(save(tmp_path, 5)).name for _ in range(3)]
    assert names == [f"iteration-000005.ckpt.damaged{n}" for n in ("", 1, 2)]
    assert not digest_path(checkpoint_path(tmp_path, 5)).exists()
    assert last_checkpoint(tmp_path) is None


def test_a_digest_without_its_checkpoint_is_what_a_kill_leaves_and_is_cleared(tmp_path):
    """The digest is written first: a checkpoint without one was not left by a kill."""
    save(tmp_path, 5)
    write_text(digest_path(checkpoint_path(tmp_path, 10)), "0" * 64)
    assert choose(tmp_path).refused == {} and last_checkpoint(tmp_path).stem == "iteration-000005"
    prune(tmp_path)
    assert not digest_path(checkpoint_path(tmp_path, 10)).exists()


def test_a_write_that_fails_leaves_nothing(tmp_path):
    path = checkpoint_path(tmp_path, 1)
    with pytest.raises(OSError, match="full"), hashed(path, digest_path(path)) as file:
        file.write(b"half")
        raise OSError("full")
    assert list(path.parent.iterdir()) == []


def test_a_full_disk_is_what_it_says_and_not_what_torch_makes_of_it(tmp_path):
    """No file may be longer than 64 KiB, and the weights take 400: torch's own words are
    `unexpected pos`."""
    resource = pytest.importorskip("resource")
    limit, path = resource.getrlimit(resource.RLIMIT_FSIZE), checkpoint_path(tmp_path, 1)
    state = {"x": torch.ones(100_000)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limit[1]))
    try:
        with pytest.raises(DiskError, match="larger than files may be") as error:
            AtomicCheckpointIO().save_checkpoint(state, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(error.value).startswith(str(path))
    assert list(path.parent.iterdir()) == []


def test_what_a_finished_run_keeps(tmp_path):
    for wish, left in (
        ("last", ["iteration-000010.ckpt", "iteration-000010.sha256"]),
        ("none", []),
    ):
        for i in (1, 5, 10):
            save(tmp_path, i)
        set_aside(checkpoint_path(tmp_path, 1))
        tidy(tmp_path, wish)
        assert sorted(p.name for p in tmp_path.glob("checkpoints/*")) == left
    assert not (tmp_path / "checkpoints").exists()


MEASURE = """
import sys
from pathlib import Path
import torch
from rlhf.callbacks.checkpoint import AtomicCheckpointIO, checkpoint_path

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

weights = {f"w{i}": torch.randn(1 << 20) for i in range(17)}
adam = [{n: {"exp_avg": torch.randn(1 << 20), "exp_avg_sq": torch.randn(1 << 20)} for n in weights}]
save = AtomicCheckpointIO().save_checkpoint
save({"x": torch.ones(3)}, checkpoint_path(Path(sys.argv[1]), 0))
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
before = resident("VmRSS")
save({"state_dict": weights, "optimizer_states": adam}, checkpoint_path(Path(sys.argv[1]), 1))
print(resident("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts the peak")
def test_a_save_holds_no_second_copy(tmp_path):
    """204 MiB of weights and Adam's moments: less than half of it on top while they are saved (65
    MiB at most in our runs). A save into memory first took all of it."""
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert checkpoint_path(tmp_path, 1).stat().st_size > 204 * 2**20
    assert float(done.stdout) < 204 / 2


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


def test_files_with_names_of_somebodys_own_are_left_alone(tmp_path):
    """They are no checkpoints to go on from, to count or to remove; a million comes after all that
    have six digits."""
    paths = [checkpoint_path(tmp_path, i) for i in (5, 999_999, 1_000_000)]
    for path in paths:
        AtomicCheckpointIO().save_checkpoint({}, path)
    own = [paths[0].with_name(f"iteration-{name}") for name in ("best.ckpt", "000005_x.ckpt")]
    own += [paths[0].with_name("iteration-best.sha256")]
    for path in own:
        path.write_bytes(b"mine")
    assert checkpoints(tmp_path) == paths[::-1]
    prune(tmp_path, keep=2)
    assert checkpoints(tmp_path) == paths[:0:-1] and all(path.exists() for path in own)


@pytest.mark.parametrize(
    "content", [{"records": [1]}, {"records": {"metrics.jsonl": torch.zeros(3, dtype=torch.uint8)}}]
)
def test_an_odd_copy_of_the_records_is_a_reason(tmp_path, content):
    path = checkpoint_path(tmp_path, 1)
    AtomicCheckpointIO().save_checkpoint(content, path)
    assert choose(tmp_path).refused == {path: "its copy of the records is none"}


def test_a_tensor_is_no_checkpoint(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save(torch.zeros(2), path)
    with pytest.raises(RunFailed, match=r"x.ckpt is no checkpoint: it holds a Tensor\. Delete it"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_one_that_goes_while_it_is_looked_at_is_passed_over(tmp_path, monkeypatch):
    """A run that is at work removes its older ones, while a longer run looks for a start."""
    from rlhf.callbacks import checkpoint

    paths = [checkpoint_path(tmp_path, i) for i in (1, 2)]
    for path in paths:
        AtomicCheckpointIO().save_checkpoint({"records": {}}, path)
    digest = checkpoint.file_digest

    def gone(path):
        paths[1].unlink(missing_ok=True)
        return digest(path)

    monkeypatch.setattr(checkpoint, "file_digest", gone)
    assert checkpoint.why_not(paths[1]) == "it cannot be read (No such file or directory)"
