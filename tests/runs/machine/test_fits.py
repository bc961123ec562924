"""A llama of SmolLM2's shape, as its `config.json` alone, beside machines of several sizes."""

import json
import os
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.validate import ConfigError
from rlhf.estimates.rows import DataSize, PartSize
from rlhf.runs.machine import room
from rlhf.runs.machine.devices import Machine
from rlhf.runs.machine.fits import fit_of
from rlhf.runs.machine.together import Fits
from tests.estimates.test_shape import SMOLLM2

GB, EPOCHS = 10**9, 2
DISK = namedtuple("DISK", "total used free")


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """fit(*overrides, memory=bytes, disk=bytes) -> Fit on such a machine"""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(SMOLLM2))

    def make(*overrides, memory=64 * GB, gpu=None, disk=100 * GB, data=None):
        monkeypatch.setattr(room.shutil, "disk_usage", lambda place: DISK(disk, 0, disk))
        words = ["model=hf", f"model.path={model}", f"paths.outputs={tmp_path}/o", *overrides]
        machine = Machine(memory=memory, gpu_memory=gpu)
        return replace(
            fit_of(validate(compose(words)), tmp_path / "o" / "run", data), machine=machine
        )

    return make


def test_a_machine_that_is_too_small_is_refused(fit):
    """Weights, gradients and moments of policy and value model, 8 W, and 2 W frozen: 5.4 GB; beside
    2 * 4 * 4 * 512 tokens of activations."""
    (fault,) = fit(memory=4 * GB, data=short()).memory_faults()
    assert fault.startswith("ppo: needs about 6.")
    assert "the optimizer's moments 2.2 GB" in fault
    assert fault.endswith("this machine has 4.0 GB; smaller: model/adapter=lora")


def short():
    texts = PartSize(train=10_000, heldout=10, longest=60, mean=40.0)
    return DataSize(demonstrations=texts, preferences=texts, prompts=texts)


def test_the_settings_that_shrink_it_are_named(fit):
    faults = [*fit("sft.batch_size=512", memory=20 * GB).memory_faults()]
    (fault,) = faults
    assert fault.startswith("sft: needs about")
    again = "trainer.gradient_checkpointing=true"
    assert fault.endswith(
        f"smaller: {again}, sft.micro_batch_size, sft.batch_size, sft.max_length,"
        " model/adapter=lora"
    )
    (fault,) = fit("ppo.micro_batch_size=32", memory=20 * GB).memory_faults()
    both = "generation.max_prompt_tokens, data.max_response_tokens"
    wanted = f"smaller: {again}, ppo.micro_batch_size, {both}, model/adapter=lora"
    assert fault.endswith(wanted)


def test_what_may_not_fit_is_warned_of(fit):
    """Within the factor of 1.2 that the estimate is right by."""
    close = fit(memory=int(6.2 * GB), data=short())
    assert [*close.memory_faults()] == []
    (caution,) = close.cautions()
    assert "it may not fit" in caution
    roomy = fit(memory=16 * GB)
    assert [*roomy.memory_faults(), *roomy.cautions()] == []


def test_a_gpu_has_memory_of_its_own(fit):
    (fault,) = fit("trainer=gpu", gpu=3 * GB, data=short()).memory_faults()
    assert "its GPU has 3.0 GB" in fault
    assert [*fit("trainer=gpu", memory=1).memory_faults()] == []  # not known: nothing is refused
    assert fit("trainer=gpu").seconds == {}


def test_parts_on_several_gpus_need_less_of_each(fit):
    """8 W of 538 MB that are stepped and 2 W that are frozen would be 5.4 GB; of FSDP's four parts
    each has a quarter, 1.3 GB, beside what passes by: to draw, the policy in bfloat16."""
    one = max(fit("trainer=gpu", gpu=64 * GB, data=short()).peaks, key=lambda peak: peak.size)
    four = fit("trainer=fsdp", "trainer.devices=4", gpu=3 * GB, data=short())
    assert [*four.memory_faults()] == []
    peak = max(four.peaks, key=lambda peak: peak.size)
    terms, whole = ({t.name: t.size for t in p.terms} for p in (peak, one))
    for name in ("weights that are trained", "weights that are frozen", "the optimizer's moments"):
        assert terms[name] == pytest.approx(whole[name] / 4, rel=1e-4)  # heads are whole
    assert peak.size < one.size / 2


def test_the_rows_of_a_step_are_shared(fit):
    """Of 32 rows each of two processes has 16, and its own whole networks."""
    words = ("stage=sft", "sft.batch_size=32", "sft.max_length=128")
    one, two = (fit(trainer, *words).peaks[0] for trainer in ("trainer=gpu", "trainer=ddp"))
    sizes = [{t.name: t.size for t in peak.terms} for peak in (one, two)]
    assert sizes[1]["activations"] == sizes[0]["activations"] / 2
    assert sizes[1]["weights that are trained"] == sizes[0]["weights that are trained"]


def test_processes_on_cpus_share_the_memory_of_one_machine(fit):
    """All but frozen weights, which are mapped, is there for each; of parts, one for each."""
    here = ("trainer.accelerator=cpu", "trainer.precision=32-true")
    sizes = {}
    for name, words in {"one": (), "ddp": ("trainer=ddp",), "fsdp": ("trainer=fsdp",)}.items():
        peak = max(fit(*words, *here, data=short()).peaks, key=lambda peak: peak.size)
        sizes[name] = {term.name: term.size for term in peak.terms}
    trained, frozen, more = (
        "weights that are trained",
        "weights that are frozen",
        "Python and its libraries",
    )
    assert sizes["ddp"][trained] == 2 * sizes["one"][trained] == 2 * sizes["fsdp"][trained]
    assert sizes["ddp"][frozen] == sizes["one"][frozen] == sizes["fsdp"][frozen]
    assert sizes["ddp"][more] == sizes["fsdp"][more] == 2 * sizes["one"][more]


def test_a_stage_that_may_be_made_already_is_not_refused(fit, tmp_path):
    """Its artifact may be from a larger machine; whether the data are the same nobody has asked.
    One with other settings is another."""
    made = tmp_path / "o" / "artifacts" / "sft" / "0123"
    made.mkdir(parents=True)
    words = ("sft.batch_size=512", f"sft.epochs={EPOCHS}")
    config = fit(*words).cfg.plain()
    (made / "manifest.json").write_text(json.dumps({"config": config, "metrics": {}}))
    large = fit(*words, memory=20 * GB)
    assert ("sft" in large.stages, large.unsure) == (False, ("sft",))
    assert [*large.memory_faults()] == []
    other = fit(words[0], "sft.epochs=9", memory=20 * GB)
    assert "sft" in other.stages and [*other.memory_faults()] != []


def test_a_stage_that_is_not_trained_is_not_refused(fit):
    """An SFT policy that is given needs no activations of batches, a frozen model no moments."""
    large = ("sft.batch_size=512", "data.demonstrations=20")
    assert [*fit(*large, memory=20 * GB).memory_faults()] != []
    assert [*fit(*large, "sft=none", memory=20 * GB).memory_faults()] == []
    head = ("stage=reward_model", "sft=none", "reward_model.trained=head")
    assert [*fit(*head, memory=2 * GB, data=short()).memory_faults()] == []
    assert [*fit(*head[:2], memory=2 * GB, data=short()).memory_faults()] != []


def test_a_policy_that_is_given_has_its_own_shape(fit, tmp_path):
    """Whatever `model` is: it is not read."""
    given = ("model=tiny", f"sft.path={tmp_path / 'model'}")
    words = [*given, f"paths.outputs={tmp_path}/o"]
    shape = fit_of(validate(compose(words)), tmp_path / "o").estimate.shape
    assert shape.parameters == 134_515_008


def test_disk(fit):
    """Weights of three stages and one checkpoint of two networks: 538 MB each."""
    (fault,) = fit(disk=GB).disk_faults()
    assert "at least 2.7 GB: make room" in fault
    assert [*fit(disk=3 * GB).disk_faults()] == []
    # PPO alone: its weights and that checkpoint
    given = ("sft=none", "reward_model.path=some/model")
    (fault,) = fit(*given, disk=GB).disk_faults()
    assert "the run (ppo, of a model" in fault and "at least 1.6 GB: make room" in fault


def test_jobs_leave_a_policy_each(fit):
    jobs = Fits(fits=tuple(fit(f"seed={k}", disk=5 * GB) for k in range(12)))
    (fault,) = jobs.faults()
    assert "the policies of 12 jobs take 6.5 GB" in fault


def test_jobs_at_a_time_share_the_memory(fit):
    jobs = Fits(fits=(fit(memory=16 * GB, data=short()),) * 3, at_once=3)
    assert jobs.faults() == []
    (caution,) = jobs.cautions()
    assert caution.startswith("3 jobs at a time need about")
    assert caution.endswith("hydra.launcher.jobs=2 does")
    assert Fits(fits=jobs.fits, at_once=2).cautions() == []
    assert jobs.room == 2 and Fits(fits=()).room is None
    assert Fits(fits=(fit(memory=1 * GB, data=short()),)).room == 1


def test_lines(fit):
    memory, disk, drawn, time = fit(data=short()).lines()
    assert memory.startswith("memory   about 6.") and " of 64.0 GB in ppo: " in memory
    assert disk.startswith("disk     up to ")
    assert drawn == ("drawn    7,232 responses: 6,400 training, 704 evaluations, 128 normalisation")
    assert time.startswith("time     ") and "roughly: sft " in time


def test_the_algorithm_has_its_name(fit):
    words = "algorithm=grpo", "ppo.responses_per_prompt=4"
    memory, *_, time = fit(*words, data=short()).lines()
    assert " of 64.0 GB in grpo: " in memory
    assert ", grpo " in time
    (fault,) = fit(*words, memory=3 * GB, data=short()).memory_faults()
    assert fault.startswith("grpo: needs about ")


def test_a_model_of_ones_own_is_not_known(tmp_path):
    cfg = validate(compose(["model=hf", f"model.path={tmp_path}"]))
    assert fit_of(cfg, tmp_path) is None
    assert Fits(fits=()).lines() == [] == Fits(fits=()).faults()


def test_a_run_from_python_is_refused_too(run_in, tmp_path, monkeypatch):
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 25_000}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    with pytest.raises(
        ConfigError, match="sft: needs about .* take a smaller model|sft.batch_size"
    ):
        run_in(tmp_path / "run", f"paths.artifacts={tmp_path / 'artifacts'}")
    assert not Path(tmp_path / "artifacts").exists()
