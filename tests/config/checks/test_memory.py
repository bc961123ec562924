import pytest

from rlhf.runs.machine.packages import package_fault, packages_of


@pytest.mark.parametrize("section", ["sft", "reward_model", "ppo", "generation"])
def test_a_micro_batch_is_limited_by_rows_or_by_tokens(planned, section):
    rows, tokens = f"{section}.micro_batch_size=4", f"{section}.micro_batch_tokens=512"
    assert planned(rows).faults == planned(tokens).faults == []
    (fault,) = planned(rows, tokens).faults
    assert fault.startswith(tokens) and f"set {section}.micro_batch_size=null (it is 4)" in fault
    (fault,) = planned(f"{section}.micro_batch_tokens=0").faults
    assert f"{section}.micro_batch_tokens=0" in fault


def test_flash_attention_needs_a_gpu_and_16_bits(planned):
    flash = "model.attention=flash_attention_2"
    (fault,) = planned(flash).faults
    assert fault == f"{flash}: works on a GPU: trainer=gpu, or model.attention=sdpa"
    (fault,) = planned(flash, "trainer=gpu").faults
    assert "computes in 16 bits: trainer.precision=bf16-mixed" in fault
    assert planned(flash, "trainer=gpu", "trainer.precision=bf16-mixed").faults == []
    for name in ("auto", "eager", "sdpa"):
        assert planned(f"model.attention={name}").faults == []
    (fault,) = planned("model.attention=flash").faults
    assert "eager" in fault and "sdpa" in fault


@pytest.mark.parametrize("stage", ["sft", "reward_model", "ppo"])
def test_moments_in_8_bits_need_a_gpu(planned, stage):
    chosen = f"optimizer@{stage}.optimizer=adamw_8bit"
    (fault,) = planned(chosen).faults
    assert fault == (
        f"{stage}.optimizer=adamw_8bit: works on a GPU: trainer=gpu, or"
        f" optimizer@{stage}.optimizer=adamw"
    )
    assert planned(chosen, "trainer=gpu").faults == []


def test_packages_that_the_project_does_not_bring(planned):
    plan = planned(
        *("trainer=gpu", "trainer.precision=bf16-mixed", "model.attention=flash_attention_2"),
        "optimizer@ppo.optimizer=adamw_8bit",
    )
    flash, bits = packages_of(plan.jobs[0].config)
    assert flash == ("model.attention=flash_attention_2", "flash_attn", "flash-attn")
    assert bits == ("ppo.optimizer=adamw_8bit", "bitsandbytes", "bitsandbytes")
    assert package_fault("x=y", "no_such_module", "no-such") == (
        "x=y: needs the package no-such: pip install no-such"
    )
    assert package_fault("x=y", "torch", "torch") is None
    assert [*packages_of(planned().jobs[0].config)] == []
    for kind in ("lora", "head"):
        (adapter,) = packages_of(planned(f"model/adapter={kind}").jobs[0].config)
        assert adapter == (f"model/adapter={kind}", "peft", "rlhf[lora]")
    assert package_fault("a=b", "no_such_module", "rlhf[lora]") == (
        "a=b: needs the package no_such_module: pip install 'rlhf[lora]'"
    )


@pytest.mark.parametrize("stage", ["sft", "reward_model", "ppo"])
def test_moments_of_8_bits_have_no_parts(planned, stage):
    chosen = f"optimizer@{stage}.optimizer=adamw_8bit"
    (sentence,) = planned(chosen, "trainer=fsdp").faults
    assert sentence.startswith(f"{stage}.optimizer=adamw_8bit: has no parts for trainer.strategy=f")
