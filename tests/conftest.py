"""One thread, no hub, and a tiny random model with a tokenizer of single letters."""

import gc
import importlib.util
import os
import subprocess
from multiprocessing import forkserver
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest


def pytest_ignore_collect(collection_path, config):
    """Asked for slow tests, those files that have none are not imported: it takes longer than some
    of the tests."""
    test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    alone = config.getoption("markexpr") == "slow"
    return True if alone and test and "mark.slow" not in collection_path.read_text() else None


def pytest_collection_finish(session):
    """Torch, Lightning and all else that the tests import stays for good: no collection of garbage
    looks at it again, nor does the one at each stage's end, which took a quarter of a second."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk():
    """fsync is for power that fails, which no test tries, and takes a quarter of a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def tokenizer():
    from rlhf.data.tokenizers import word_level

    return word_level(["a a b c d e f g h", *"bcdefgh"])


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def architecture(request):
    return request.param


def tiny(tokenizer, architecture="llama", seed=0):
    """A random causal LM with 2 layers of 16: its logits are spread enough for KLs and rewards
    to differ."""
    import torch

    from rlhf.models.load import TinyModel

    torch.set_num_threads(1)
    model = TinyModel(
        architecture=architecture, hidden_size=16, layers=2, heads=2, seed=seed
    ).causal_lm(tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.ndim > 1 else None
    return model


@pytest.fixture
def policy(tokenizer):
    return tiny(tokenizer)


@pytest.fixture
def other_policy(tokenizer):
    return tiny(tokenizer, seed=1)


@pytest.fixture(scope="session")
def rundirs():
    """The builder of run directories."""
    spec = importlib.util.spec_from_file_location("rundirs", Path(__file__).parent / "rundirs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> str:
    """A real MLflow database, made once: that takes seconds."""
    from rlhf.tracking.store import prepare_store

    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    prepare_store(uri, "unit")
    return uri


@pytest.fixture(scope="session")
def client(store):
    from rlhf.tracking.store import connect

    return connect(store)


# --- small whole runs: half a second each once SFT and reward model are there

SMALL = [
    "data.demonstrations=64",
    "data.pairs=48",
    "data.prompts=64",
    "data.max_response_tokens=8",
    "model.hidden_size=16",
    "model.layers=1",
    "model.heads=2",
    "sft.epochs=2",
    "sft.batch_size=16",
    "reward_model.epochs=2",
    "reward_model.batch_size=16",
    "reward_model.normalize_samples=32",
    "ppo.iterations=4",
    "ppo.rollout_size=16",
    "ppo.minibatch_size=8",
    "evaluation.prompts=8",
    "evaluation.samples=2",
    "evaluation.every=2",
    "ppo.checkpoint_every=1",
    "tracking=none",
    "callbacks=none",
    "best_of_n=none",
]


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def run_in(artifacts):
    """run_in(directory, *overrides, without=prefix) -> summary: one run in this process; stages
    are shared by all tests."""

    def go(directory, *overrides, without="nothing"):

        from rlhf.config.compose import compose, validate
        from rlhf.runs.run import run

        small = [override for override in SMALL if not override.startswith(without)]
        composed = compose([*small, f"paths.artifacts={artifacts}", *overrides])
        return run(validate(composed), directory=directory)

    return go


@pytest.fixture
def stop_at(monkeypatch):
    """stop_at(stage, iteration, signal): the process gets the signal when that iteration has
    just been recorded."""
    import os

    from rlhf.callbacks import recorder

    def arrange(stage, iteration, number):
        original = recorder.write_status
        sent = []

        def write(directory, **status):
            original(directory, **status)
            if not sent and (status.get("stage"), status.get("iteration")) == (stage, iteration):
                sent.append(1)
                os.kill(os.getpid(), number)

        monkeypatch.setattr(recorder, "write_status", write)

    return arrange


# --- commands, given in a folder of their own as a user would


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where the commands are given. The code counts as committed, whatever the repository that
    the tests run from is like."""
    from rlhf.stages.provenance import manifest

    monkeypatch.setattr(manifest, "git", lambda: {"revision": "b" * 40, "dirty": False})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """Commands of `rlhf` as processes, forked from one that has imported all that they need:
    commands.run(folder, words) -> how it ended, commands.start(folder, words) -> at work."""
    from benchmarks.soak.commands import Server

    with patch.dict(os.environ):  # what it sets is for its commands alone
        server = Server(tmp_path_factory.mktemp("commands"))
        forkserver.ensure_running()
    return server


@pytest.fixture
def reproduce(home, capfd):
    """reproduce(argument, ...) -> (exit code, everything it said)"""

    def go(*arguments):
        from rlhf.commands.runs.reproduce import main

        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return code, said.out + said.err

    return go


@pytest.fixture
def small_disk(tmp_path):
    """small_disk("64k") -> a folder that is a disk of this size; "ro" makes it read-only."""
    disks = []

    def mount(size, *options):
        disk = tmp_path / f"disk{len(disks)}"
        disk.mkdir()
        chosen = ",".join([f"size={size}", *options])
        command = ["mount", "-t", "tmpfs", "-o", chosen, "rlhf-test", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a small disk")
        disks.append(disk)
        return disk

    yield mount
    for disk in disks:
        subprocess.run(["umount", "-l", str(disk)], check=False)
