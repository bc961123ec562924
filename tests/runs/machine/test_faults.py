"""What a config asks of this machine is told in a sentence before anything is made."""

import os

import pytest

from rlhf.config.compose import ConfigError, compose, validate
from rlhf.config.schema import Trainer
from rlhf.runs.machine import faults as machine
from rlhf.runs.machine.faults import (
    folder_fault,
    machine_faults,
    memory_faults,
    model_fault,
    thread_faults,
)
from rlhf.runs.run import run

GIB = 2**30


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults(*lines, **kwargs):
    return machine_faults([validate(compose(lines))], **kwargs)


def test_the_default_config_asks_nothing_special(here):
    assert faults() == [] and faults(sweep=True) == []
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "sweep", "said"),
    [
        ("paths.outputs=file", False, "paths.outputs=file: {}/file is not a folder"),
        ("paths.outputs=file/deep/er", False, "paths.outputs=file/deep/er: {}/file is not a"),
        ("paths.run_dir=file", False, "paths.run_dir=file: {}/file is not a folder"),
        ("paths.artifacts=file/x", False, "paths.artifacts=file/x: {}/file is not a folder"),
        ("paths.sweeps=file", True, "paths.sweeps=file: {}/file is not a folder"),
        ("paths.sweep_dir=file", True, "paths.sweep_dir=file: {}/file is not a folder"),
        ("paths.outputs=/dev/null", False, "paths.outputs=/dev/null: /dev/null is not a folder"),
        ("paths.outputs=broken/x", False, "paths.outputs=broken/x: {}/broken is not a folder"),
    ],
)
def test_folders_that_cannot_be(here, line, sweep, said):
    (here / "file").write_text("")
    (here / "broken").symlink_to("nowhere")
    (fault,) = faults(line, sweep=sweep)
    assert fault.startswith(said.format(here))
    assert sorted(path.name for path in here.iterdir()) == ["broken", "file"]


def test_a_folder_where_nothing_can_be_written(here):
    if os.path.isdir("/proc/self"):  # it refuses root too
        assert "nothing can be written in /proc" in folder_fault("paths.outputs", here / "/proc/x")
    closed = here / "closed"
    closed.mkdir(mode=0o500)
    if os.geteuid():
        assert "(Permission denied)" in folder_fault("paths.outputs", closed / "x")


def test_what_only_a_shell_reads(here, monkeypatch):
    monkeypatch.setenv("PLACE", "/data")
    said = "~ and $ are read by the shell alone; write"
    (fault,) = faults("paths.outputs='$PLACE/x'")
    assert fault == f"paths.outputs=$PLACE/x: {said} paths.outputs=/data/x"
    assert model_fault("~/m", None) == (
        f"model.path=~/m: {said} model.path={os.path.expanduser('~/m')}"
    )


def test_a_name_that_no_model_can_have(here):
    assert model_fault("x" * 5000, None) == f"model.path={'x' * 5000}: File name too long"


def test_a_gpu_that_is_not_there(here, monkeypatch):
    machine.gpu_fault.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (fault,) = faults("trainer=gpu")
    assert fault.startswith("trainer.accelerator=cuda: CUDA_VISIBLE_DEVICES= hides all GPUs")
    assert faults("trainer=gpu", elsewhere=True) == []
    machine.gpu_fault.cache_clear()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(machine, "DRIVERS", ("/nowhere",))
    assert "no GPU, or no driver for it; trainer=cpu" in machine.gpu_fault()
    (fault,) = faults("trainer=ddp")
    assert fault.endswith("; trainer.accelerator=cpu trains without a GPU")
    machine.gpu_fault.cache_clear()


def test_models(here):
    (here / "models" / "mine").mkdir(parents=True)
    (here / "empty").mkdir()
    (here / "file").write_text("")
    (here / "models" / "mine" / "config.json").write_text("{}")
    assert model_fault("models/mine", None) is None
    assert model_fault("empty", None) == (
        "model.path=empty: a folder without config.json; it holds nothing"
    )
    assert model_fault("file", None) == "model.path=file: a file; give the folder of the model"
    assert model_fault("./models/mne", None) == (
        f"model.path=./models/mne: no such folder; did you mean {here}/models/mine?"
    )
    assert model_fault("a b", None) == "model.path=a b: no such folder"
    smollm2 = compose(["model=smollm2"]).model.path
    assert model_fault(smollm2, None) == (
        "model.path=outputs/models/smollm2: no such folder; `make smollm2` makes it"
    )


def test_a_model_of_the_hub(here, monkeypatch, tmp_path):
    """Offline it must be in the cache. Online its name alone is judged."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert "neither a folder here nor a model in the cache" in model_fault("org/name", None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert model_fault("org/name", None) is None
    assert model_fault("./org/name", None) == "model.path=./org/name: no such folder"
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    assert "neither a folder here" in model_fault("org/name", None)


def test_sizes_that_no_room_has():
    """2 layers of 12 * 4096^2 numbers of 4 bytes: 1.5 GiB. 10^6 responses of 16 tokens of 8 bytes:
    0.12 GiB."""
    cfg = validate(compose(["model.hidden_size=4096", "model.layers=2"]))
    assert [*memory_faults(cfg, 2 * GIB)] == []
    (fault,) = memory_faults(cfg, GIB)
    assert fault == (
        "model.hidden_size=4096 model.layers=2: the weights take at least 2 GiB; this machine has 1"
    )
    lines = ["ppo.rollout_size=1000000", "generation.max_new_tokens=16"]
    cfg = validate(compose(lines))
    assert [*memory_faults(cfg, GIB)] == []
    (fault,) = memory_faults(cfg, GIB // 10)
    assert fault.startswith("ppo.rollout_size=1000000 generation.max_new_tokens=16: the responses")
    assert [*memory_faults(validate(compose([*lines, "stage=sft"])), GIB // 10)] == []


def test_more_threads_than_come_on():
    """16 a core."""
    trainer = Trainer(accelerator="cpu", precision="32-true", threads=32)
    assert [*thread_faults(trainer, 2)] == []
    (fault,) = thread_faults(trainer.model_copy(update={"threads": 33}), 2)
    assert fault.startswith("trainer.threads=33: this machine has 2 cores; at most 32 threads")


def test_from_python_too_and_before_a_directory_is_made(here):
    (here / "file").write_text("")
    cfg = validate(compose(["paths.artifacts=file/x", "tracking=none"]))
    with pytest.raises(ConfigError, match="paths.artifacts=file/x"):
        run(cfg, directory=here / "run")
    assert [path.name for path in here.iterdir()] == ["file"]


def test_of_a_finished_run_nothing_is_asked(here):
    machine.gpu_fault.cache_clear()
    cfg = validate(compose(["trainer=gpu"]))
    if not machine_faults([cfg]):
        pytest.skip("there is a GPU")
    place = here / cfg.paths.run_dir
    place.mkdir(parents=True)
    (place / "summary.json").write_text('{"status": "finished"}')
    assert machine_faults([cfg]) == []


def test_the_models_of_a_run_by_the_keys_that_name_them(tmp_path, monkeypatch):
    """model.path is read where the policy, or the reward model's backbone, is conf/model's."""
    from rlhf.config.compose import compose, validate
    from rlhf.runs.machine.faults import models_of

    def of(*lines):
        return [*models_of(validate(compose(lines)))]

    assert of() == []
    assert of("model=hf", "model.path=m") == [("m", None, "model.path")]
    entered = ["sft.path=p", "reward_model.path=r"]
    named = [("p", None, "sft.path"), ("r", None, "reward_model.path")]
    assert of(*entered) == of("model=hf", "model.path=m", *entered) == named
    own = of("model=hf", "model.path=m", "sft.path=p", "reward_model.init=model")
    assert own == [("m", None, "model.path"), ("p", None, "sft.path")]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "policy").mkdir(parents=True)
    (tmp_path / "run" / "policy" / "config.json").write_text("{}")
    assert model_fault("run", None, "sft.path") == (
        "sft.path=run: a run's folder; its policy is sft.path=run/policy"
    )
