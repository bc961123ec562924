"""Settings that adapters need, and those that they make impossible."""

import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.naming import run_hash
from rlhf.config.validate import cautions

LORA, HEAD, HF = "model/adapter=lora", "model/adapter=head", ("model=hf", "model.path=some/model")


def test_what_the_options_bring(planned):
    settings = {
        "none": ("none", "separate", "all", "all"),
        "lora": ("lora", "backbone", "adapter", "adapter"),
        "head": ("head", "backbone", "adapter", "head"),
    }
    for option, expected in settings.items():
        (job,) = planned(f"model/adapter={option}").jobs
        cfg = job.config
        got = (cfg.adapter.kind, cfg.adapter.sharing, cfg.sft.trained, cfg.reward_model.trained)
        assert got == expected
    cfg = planned(LORA, "model/sharing=separate", "sft.trained=all", *HF).jobs[0].config
    assert (cfg.adapter.r, cfg.adapter.alpha, cfg.adapter.targets) == (16, 32, "all-linear")
    assert cfg.adapter.sharing == "separate" and not cfg.adapter.shares
    assert cfg.sft.trained == "all" and cfg.reward_model.trained == "adapter"
    assert cfg.sft.max_length == 512  # model=hf brings its settings all the same


FULL_SFT = (LORA, "sft.trained=all")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (("model/sharing=backbone",), "adapter.sharing=backbone: there is no adapter by which"),
        (("sft.trained=adapter",), "sft.trained=adapter: there is no adapter to train; choose"),
        (("reward_model.trained=adapter",), "reward_model.trained=adapter: there is no adapter"),
        ((*HF, "model.dtype=bfloat16"), "model.dtype=bfloat16: expected float32: weights of 16"),
        ((*HF, LORA, "sft.trained=all", "model.dtype=bfloat16"), "model.dtype=bfloat16: sft.trai"),
        ((*HF, LORA, "model.dtype=4bit"), "model.dtype=4bit: needs an NVIDIA GPU: trainer=gpu"),
        (
            (*HF, LORA, "model.dtype=4bit", "trainer=fsdp"),
            "model.dtype=4bit: weights of 4 bits are not divided by trainer.strategy=fsdp",
        ),
        (
            (*HF, LORA, "trainer.precision=bf16-true"),
            "trainer.precision=bf16-true: rounds weights that are trained, and with model/adapter"
            "=lora the network is frozen: write model.dtype=bfloat16",
        ),
        (
            (LORA, "kl/reference=ema"),
            "kl/reference=ema: averages a policy's weights, and an adapter adds a",
        ),
        ((HEAD, "reward_model.trained=adapter"), "reward_model.trained=adapter: model/adapter=h"),
        ((LORA, "reward_model.trained=all"), "ppo.value_init=reward_model: the reward model has"),
        ((LORA, "reward_model.trained=head"), "ppo.value_init=reward_model: the reward model has"),
        ((*FULL_SFT, "reward_model.init=model"), "ppo.value_init=reward_model: the reward model"),
        ((LORA, "adapter.targets=some"), "adapter.targets=some: expected all-linear, default or"),
        ((LORA, "adapter.r=0"), "adapter.r=0: expected a whole number >= 1"),
        ((LORA, "adapter.alpha=0"), "adapter.alpha=0: expected a number > 0"),
        (("+adapter.rank=4",), "adapter.rank=4: no such key; here it is adapter.r"),
    ],
)
def test_what_cannot_work(planned, lines, fault):
    (sentence,) = planned(*lines).faults
    assert sentence.startswith(fault)


@pytest.mark.parametrize(
    "lines",
    [
        (*HF, LORA, "model.dtype=bfloat16"),
        (*HF, LORA, "model.dtype=bfloat16", "trainer.precision=bf16-mixed"),
        (*HF, LORA, "model.dtype=4bit", "trainer=gpu"),
        (*HF, HEAD, "model.dtype=bfloat16", "sft=none"),
        (*HF, LORA, "model.dtype=bfloat16", "sft=none"),
        (LORA, "kl/reference=synced"),
        (LORA, "reward_model.trained=all", "ppo.value_init=policy"),
        (LORA, "reward_model.trained=all", "model/sharing=separate"),
        (LORA, "reward_model.init=model"),  # SFT is an adapter: the network is the model's
        (LORA, "adapter.targets=[q_proj,v_proj]"),
        (HEAD,),
    ],
)
def test_what_can(planned, lines):
    assert planned(*lines).faults == []


def test_an_adapter_may_take_larger_steps(planned):
    rates = [f"{stage}.optimizer.lr=1e-3" for stage in ("sft", "reward_model", "ppo")]
    assert len(planned(*HF, *rates).warnings) == 3
    assert planned(*HF, LORA, *rates).warnings == []
    (warning,) = planned(*HF, LORA, "sft.trained=all", *rates).warnings
    assert warning.startswith("sft.optimizer.lr=0.001")


def test_a_run_without_an_adapter_keeps_its_hash():
    plain = validate(compose([])).plain()
    assert plain["adapter"]["kind"] == "none"
    older = {name: plain[name] for name in plain if name != "adapter"}
    assert run_hash(older) == run_hash(plain)
    assert validate(older).plain() == plain
    # arguments that nothing reads decide nothing
    assert run_hash({**plain, "adapter": {**plain["adapter"], "r": 4}}) == run_hash(plain)
    lora = validate(compose([LORA])).plain()
    hashes = {run_hash({**lora, "adapter": {**lora["adapter"], "r": r}}) for r in (4, 16)}
    assert len(hashes) == 2 and run_hash(plain) not in hashes


def test_an_adapter_beside_weights_that_nobody_trained_is_warned_of():
    for words, warned in (
        ((LORA,), True),
        ((LORA, "sft.trained=all"), False),
        ((LORA, *HF), False),
        ((), False),
    ):
        said = cautions(validate(compose([*words])))
        assert any("random weights" in each for each in said) == warned, words
