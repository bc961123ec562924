"""What algorithm, advantage and conf/ppo refuse of each other."""

import pytest

from rlhf.config.compose import ConfigError, compose, validate
from rlhf.config.naming import run_name


@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        (
            ["algorithm=rloo", "ppo.responses_per_prompt=1"],
            [
                "ppo.responses_per_prompt=1: advantage=rloo compares the responses to one prompt"
                " with each other: ppo.responses_per_prompt must be 2 or more"
            ],
        ),
        (["advantage=grpo"], ["ppo.responses_per_prompt=1: advantage=grpo compares the responses"]),
        (
            ["algorithm=grpo", "advantage=gae"],
            ["advantage=gae: needs a value model, and algorithm=grpo trains none; advantage=reinf"],
        ),
        (
            ["algorithm=reinforce", "ppo.inner_epochs=2"],
            [
                "ppo.inner_epochs=2: with algorithm.ratio=none nothing corrects for responses that"
                " an older policy drew; take ppo.inner_epochs=1 or algorithm.ratio=clipped"
            ],
        ),
        (
            ["algorithm=rloo", "algorithm.clip_high=0.3"],
            ["algorithm.clip_high=0.3: there is no ratio to clip with algorithm.ratio=none; take"],
        ),
        (
            ["algorithm=dapo", "ppo.value_lr=0.001", "ppo.critic_warmup=2"],
            [
                "ppo.critic_warmup=2: there is no value model to train; set it to 0",
                "ppo.value_lr=0.001: algorithm=dapo trains no value model; set it to null",
            ],
        ),
        (
            ["algorithm=dpo", "ppo.value_lr=0.001"],
            ["ppo.value_lr=0.001: algorithm=dpo trains no value model; set it to null"],
        ),
        (["algorithm=rloo", "ppo.rollout_size=6"], ["ppo.responses_per_prompt=4: does not divide"]),
    ],
)
def test_refused(lines, faults):
    with pytest.raises(ConfigError) as refused:
        validate(compose(lines))
    for fault in faults:
        assert any(said.startswith(fault) for said in refused.value.faults), refused.value.faults


@pytest.mark.parametrize(
    "lines",
    [
        ["algorithm=rloo", "algorithm.ratio=clipped", "ppo.inner_epochs=4"],
        ["algorithm=grpo", "model=hf", "model.path=some/model"],  # whose ppo has a value_lr
        [
            "algorithm=rloo",
            "data=micro",
            "ppo=micro",
            "scorer=gold",
        ],  # and this a warm-up of values
        *(
            [f"algorithm={name}", *others]
            for name in ("best_of_n", "expert_iteration", "dpo", "quark")
            for others in (["model=hf", "model.path=some/model"], ["data=micro", "ppo=micro"])
        ),
        ["advantage=rloo", "ppo.responses_per_prompt=2"],
        ["algorithm=dapo", "kl=exact", "kl.coef=0.3"],
    ],
)
def test_works(lines):
    validate(compose(lines))


def test_a_choice_of_the_users_own_wins_over_what_an_algorithm_brings():
    cfg = validate(
        compose(["kl=instructgpt", "ppo.responses_per_prompt=2", "algorithm=grpo", "kl.coef=0.3"])
    )
    assert (cfg.kl.estimator.name, cfg.kl.placement.name, cfg.kl.coef) == ("k1", "reward", 0.3)
    assert cfg.ppo.responses_per_prompt == 2 and cfg.ppo.aggregation == "sequence_mean"


def test_grpo_as_published_by_its_pieces():
    cfg = validate(compose(["algorithm=grpo"]))
    kl, ppo = cfg.kl, cfg.ppo
    assert (kl.coef, kl.estimator.name, kl.placement.name) == (0.04, "k3", "loss_without_ratio")
    assert (cfg.advantage.std, cfg.advantage.scale_kl) == (True, False)
    assert (ppo.aggregation, cfg.algorithm.ratio, ppo.policy_clip) == (
        "sequence_mean",
        "clipped",
        0.2,
    )
    assert run_name(cfg.plain()).startswith("grpo-kl0.04-fixed-seed0-")
