"""Sizes that several processes cannot share are refused, each with one that they can."""

import pytest

from rlhf.config.compose import ConfigError, compose, validate
from rlhf.config.naming import run_hash
from rlhf.config.validate import examine


def faults(*overrides):
    return [str(each) for each in examine(compose([*overrides]))[1]]


def test_one_device_is_the_default_and_several_need_a_strategy():
    assert validate(compose([])).trainer.ranks == 1
    (fault,) = faults("trainer.devices=2")
    assert fault == (
        "trainer.devices=2: trainer.strategy=single trains on one; trainer.strategy=ddp trains on"
        " several"
    )
    assert validate(compose(["trainer=ddp"])).trainer.ranks == 2
    assert validate(compose(["trainer=ddp", "trainer.num_nodes=2"])).trainer.ranks == 4


def test_every_size_that_does_not_divide_is_named_with_one_that_does():
    """64 = 21 * 3 + 1, 128 = 42 * 3 + 2, 256 = 85 * 3 + 1."""
    assert faults("trainer=ddp", "trainer.devices=3") == [
        f"{key}: does not divide by the 3 processes of trainer.devices=3; {near} does"
        for key, near in (
            ("sft.batch_size=64", 63),
            ("reward_model.batch_size=64", 63),
            ("ppo.rollout_size=128", 126),
            ("ppo.minibatch_size=64", 63),
            ("evaluation.prompts=256", 255),
        )
    ]
    (fault,) = faults("trainer=ddp", "trainer.num_nodes=2", "stage=sft", "sft.batch_size=2")
    assert fault == (
        "sft.batch_size=2: does not divide by the 4 processes of trainer.devices=2 and"
        " trainer.num_nodes=2; 4 does"
    )


def test_a_reward_model_that_nobody_needs_has_no_size():
    odd = ("trainer=ddp", "reward_model.batch_size=15")
    assert len(faults(*odd)) == 1
    assert faults(*odd, "scorer=gold", "ppo.value_init=policy") == []


@pytest.mark.parametrize(
    "overrides",
    [
        ["stage=sft", "ppo.rollout_size=127", "evaluation.prompts=255"],
        ["sft=none", "sft.batch_size=63"],
        ["trainer.devices=1", "sft.batch_size=63"],
    ],
)
def test_sizes_of_what_is_not_trained_are_nobodys_matter(overrides):
    assert not [each for each in faults("trainer=ddp", *overrides) if "divide by the" in each]


def test_parts_of_a_model_need_several_processes():
    assert validate(compose(["trainer=fsdp"])).trainer.strategy == "fsdp"
    (fault,) = faults("trainer=fsdp", "trainer.devices=1")
    assert fault == (
        "trainer.strategy=fsdp: one process has every part: expected trainer.devices=2 or more;"
        " trainer.strategy=single trains on one"
    )
    assert not faults("trainer=fsdp", "ppo.micro_batch_tokens=4096")


def test_control_tokens_lie_in_no_part():
    lines = ["trainer=fsdp", "algorithm=quark"]
    (fault,) = faults(*lines)
    assert fault == (
        "trainer.strategy=fsdp: the embeddings of algorithm=quark's control tokens are in no part;"
        " expected trainer.strategy=ddp, or algorithm.learns=best, which has none"
    )
    assert not faults(*lines, "algorithm.learns=best") and not faults(*lines, "stage=sft")


def test_another_number_of_devices_is_the_same_run():
    """By its hash: it goes on with it."""
    plain = validate(compose([])).plain()
    shared = {**plain["trainer"], "strategy": "ddp", "devices": 8, "num_nodes": 2, "timeout": "5m"}
    assert run_hash({**plain, "trainer": shared}) == run_hash(plain)
    assert run_hash({**plain, "trainer": {**shared, "threads": 2}}) != run_hash(plain)


def test_a_time_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="trainer.timeout"):
        validate(compose(["trainer.timeout=soon"]))
