"""A stage whose part of the data is missing is refused with the ways to do without."""

from types import SimpleNamespace

import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.naming import deciding, run_hash
from rlhf.config.properties import given_parts, is_trained, needed_stages, normalizes

DATA = ["data=jsonl"]
PAIRS = [*DATA, "data.preferences=pairs.jsonl"]
PROMPTS = [*DATA, "data.prompts=prompts.jsonl"]
BACKBONE = ["reward_model.init=model", "reward_model.normalize=false"]


@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        (DATA, ["data.demonstrations=null"]),
        (PROMPTS, ["data.demonstrations=null", "data.preferences=null"]),
        ([*PROMPTS, "sft.path=p"], ["data.preferences=null"]),
        ([*PROMPTS, "sft=none"], ["data.preferences=null"]),
        ([*PROMPTS, "sft.path=p", "reward_model.path=r"], []),
        ([*PROMPTS, "sft.path=p", "data.gold=vader"], []),  # pairs are sampled and labelled
        ([*PROMPTS, "sft.path=p", "scorer=gold"], ["scorer=gold", "data.preferences=null"]),
        ([*PROMPTS, "stage=sft"], ["data.demonstrations=null"]),
        ([*PROMPTS, "stage=sft", "sft.path=p"], []),
        ([*PAIRS, "stage=reward_model"], ["data.demonstrations=null"]),
        ([*PAIRS, "stage=reward_model", "sft=none"], []),
        ([*PAIRS, "stage=reward_model", "sft.path=p"], []),
        ([*PAIRS, "stage=reward_model", *BACKBONE], []),
        ([*PAIRS, "stage=reward_model", BACKBONE[0]], ["data.demonstrations=null"]),
        ([*PAIRS, "sft=none"], []),  # the prompts are those of the pairs
    ],
)
def test_refused(planned, lines, keys):
    faults = planned(*lines).faults
    assert [fault[: len(key)] for fault, key in zip(faults, keys, strict=True)] == keys


def test_the_ways_out(planned):
    (fault,) = planned(*PAIRS, "stage=reward_model").faults
    for way in ("sft.path=", "sft=none", "reward_model.init=model reward_model.normalize=false"):
        assert way in fault
    (fault,) = planned(*PROMPTS, "sft.path=p").faults
    assert "reward_model.path=" in fault and "ppo.value_init=policy" in fault
    line = [*PROMPTS, "data.gold=null", "sft.path=p", "scorer=gold"]
    assert (
        planned(*line)
        .faults[1]
        .endswith("scorer=gold needs no reward model, ppo.value_init does: set it to policy")
    )


@pytest.mark.parametrize(
    ("lines", "stages"),
    [
        ([], ["sft", "reward_model", "ppo"]),
        (["stage=reward_model"], ["sft", "reward_model"]),
        (["stage=reward_model", *BACKBONE], ["reward_model"]),
        (["stage=reward_model", BACKBONE[0]], ["sft", "reward_model"]),
        (["stage=reward_model", "reward_model.path=r"], ["reward_model"]),
        (
            ["stage=reward_model", "reward_model.path=r", "reward_model.normalize=true"],
            ["sft", "reward_model"],
        ),
        (["reward_model.path=r"], ["sft", "reward_model", "ppo"]),
        (["stage=reward_model", *BACKBONE, "data=rt_polarity"], ["sft", "reward_model"]),
    ],
)
def test_the_stages_of_a_run(lines, stages):
    """The last: its pairs are sampled from the SFT policy."""
    assert [stage.name for stage in needed_stages(validate(compose(lines)))] == stages


def test_what_is_trained():
    cfg = validate(compose(["sft=none", "sft.epochs=2", "reward_model.path=r"]))
    assert not is_trained(cfg, "sft") and not is_trained(cfg, "reward_model")
    assert is_trained(cfg, "ppo") and not normalizes(cfg.reward_model)
    assert normalizes(validate(compose([])).reward_model)


def test_a_source_of_ones_own_need_not_say_its_parts():
    from rlhf.config.pieces.base import Custom

    class Mine:
        parts = ("prompts",)

    from rlhf.config import properties

    original, properties.user_class = properties.user_class, lambda piece: Mine
    try:
        custom = Custom.model_validate({"_target_": "mine.Mine"})
        assert given_parts(custom) == {"prompts"}
        properties.user_class = lambda piece: SimpleNamespace()
        assert given_parts(custom) is None
    finally:
        properties.user_class = original


def test_a_run_that_enters_nowhere_has_the_hash_of_before():
    """Kept configs have no `path`, no `sft.train`, and `normalize: true`."""
    plain = validate(compose([])).plain()
    before = {
        **plain,
        "sft": {k: v for k, v in plain["sft"].items() if k not in ("path", "train")},
        "reward_model": {k: v for k, v in plain["reward_model"].items() if k != "path"}
        | {"normalize": True},
    }
    assert run_hash(before) == run_hash(plain)
    assert run_hash(validate(before).plain()) == run_hash(plain)
    entered = {**plain["reward_model"], "path": "r"}
    assert deciding("reward_model", entered)["normalize"] is False
    assert deciding("reward_model", entered)["path"] == "r"


def test_the_model_is_the_policys_where_it_has_no_path_of_its_own():
    cfg = validate(compose(["model=hf", "sft.path=mine"]))
    assert cfg.model.path == "mine"
