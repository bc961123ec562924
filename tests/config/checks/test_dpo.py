"""What algorithm=dpo reads of the config, and what is refused or named because it does not."""

import pytest

from rlhf.config.checks.unused import USUAL
from rlhf.config.compose import compose, validate
from rlhf.config.naming import named_flat, run_name
from rlhf.config.properties import needed_stages, parts_of
from rlhf.config.validate import cautions
from rlhf.rundir.files import flatten

DPO = ["algorithm=dpo", "scorer=gold"]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (
            ["kl.coef=0"],
            "kl.coef=0: algorithm=dpo learns that beta (log pi - log ref) is the reward, which at"
            " beta = 0 says nothing; expected a coefficient above 0",
        ),
        (
            ["kl/controller=adaptive"],
            "kl/controller=adaptive: algorithm=dpo keeps to kl.coef as it is; take"
            " kl/controller=fixed",
        ),
        (
            ["kl/controller=path"],
            "kl/controller=path: algorithm=dpo keeps to kl.coef as it is; take kl/controller=fixed",
        ),
        (
            ["kl/reference=ema"],
            "kl/reference=ema: algorithm=dpo is held to the policy that it began with; take"
            " kl/reference=sft",
        ),
        (
            ["trust_region=penalty"],
            "trust_region=penalty: algorithm=dpo has no old policy to keep to; leave"
            " trust_region=none",
        ),
        (
            ["ppo.entropy_coef=0.1"],
            "ppo.entropy_coef=0.1: algorithm=dpo does not read it; leave it at 0",
        ),
        (
            ["ppo.responses_per_prompt=4"],
            "ppo.responses_per_prompt=4: algorithm=dpo does not read it; leave it at 1",
        ),
        (
            ["advantage=gae"],
            "advantage=gae: needs a value model, and algorithm=dpo trains none",
        ),
        (
            ["algorithm.label_smoothing=0.5"],
            "algorithm.label_smoothing=0.5: expected a number >= 0 and < 0.5",
        ),
        (["algorithm.loss=log"], "algorithm.loss=log: expected one of sigmoid, ipo, hinge"),
    ],
)
def test_refused(planned, lines, fault):
    assert any(each.startswith(fault) for each in planned(*DPO, *lines).faults), planned(
        *DPO, *lines
    ).faults


def test_as_it_comes_it_needs_no_more_than_pairs_and_its_scorer(planned):
    given = planned(*DPO)
    assert given.faults == [] and given.warnings == []
    cfg = validate(compose(DPO))
    assert [stage.name for stage in needed_stages(cfg)] == ["sft", "ppo"]
    assert parts_of(cfg, "ppo") == ("prompts", "preferences")
    assert (cfg.ppo.inner_epochs, cfg.advantage.name) == (1, "none")
    assert run_name(cfg.plain()).startswith("dpo-kl0.05-fixed-seed0-")
    scored = validate(compose(["algorithm=dpo"]))
    assert [stage.name for stage in needed_stages(scored)] == ["sft", "reward_model", "ppo"]


def test_what_is_chosen_and_not_read_is_named():
    cfg = validate(compose([*DPO, "kl=grpo", "ppo.policy_clip=0.1", "ppo.old_logp=recomputed"]))
    assert cautions(cfg) == [
        "algorithm=dpo does not read kl/estimator=k3, kl/placement=loss, ppo.policy_clip=0.1,"
        " ppo.old_logp=recomputed"
    ]
    assert cautions(validate(compose(["kl=grpo", "scorer=gold", "ppo.policy_clip=0.1"]))) == []


def test_what_counts_as_chosen_is_what_conf_does_not_have():
    flat = named_flat(flatten(validate(compose([])).plain()))
    assert {key: flat[key] for key in USUAL} == USUAL
