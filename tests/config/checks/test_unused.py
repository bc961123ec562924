"""What an algorithm does not read is refused, and what it brings can be composed."""

import pytest

from rlhf.config.checks.unused import unused_cautions
from rlhf.config.compose import compose, validate

BEST, ROUNDS = "algorithm=best_of_n", "algorithm=expert_iteration"
QUARK = "algorithm=quark"


@pytest.mark.parametrize("lines", [[BEST], [ROUNDS], ["ppo=micro", BEST]])
def test_what_an_algorithm_brings(lines):
    cfg = validate(compose(lines))
    assert cfg.kl.coef == 0 and cfg.advantage.name == cfg.trust_region.name == "none"
    assert cfg.ppo.responses_per_prompt == (4 if ROUNDS in lines else 16)


@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        (
            [BEST, "kl.coef=0.1"],
            [
                "kl.coef=0.1: algorithm=best_of_n reads no KL coefficient; kl=none measures the KL"
                " all the same"
            ],
        ),
        (
            [ROUNDS, "kl/controller=linear"],
            [
                "kl/controller=linear: algorithm=expert_iteration reads no KL coefficient; kl=none"
                " measures the KL all the same"
            ],
        ),
        (
            [BEST, "kl/reference=ema"],
            [
                "kl/reference=ema: algorithm=best_of_n is held to no reference; leave"
                " kl/reference=sft"
            ],
        ),
        (
            [BEST, "advantage=gae"],
            ["advantage=gae: algorithm=best_of_n reads none; leave advantage=none"],
        ),
        (
            [BEST, "trust_region=early_stop"],
            [
                "trust_region=early_stop: algorithm=best_of_n has no old policy to keep to; leave"
                " trust_region=none"
            ],
        ),
        (
            [BEST, "ppo.responses_per_prompt=1"],
            [
                "ppo.responses_per_prompt=1: algorithm=best_of_n compares the responses to a"
                " prompt; expected 2 or more"
            ],
        ),
        (
            ["advantage=none"],
            ["advantage=none: algorithm=ppo learns from advantages; advantage=gae makes some"],
        ),
        (
            [BEST, "advantage=rloo"],
            ["advantage=rloo: algorithm=best_of_n reads none; leave advantage=none"],
        ),
        (
            [QUARK, "advantage=gae", "trust_region=penalty"],
            [
                "advantage=gae: algorithm=quark reads none; leave advantage=none",
                "trust_region=penalty: algorithm=quark has no old policy to keep to; leave"
                " trust_region=none",
            ],
        ),
        (
            [QUARK, "kl/controller=path"],
            [
                "kl/controller=path: algorithm=quark weighs KL against likelihood, and the points"
                " of a path end by the reward; take kl/controller=fixed"
            ],
        ),
        (
            [QUARK, "algorithm.quantiles=1"],
            ["algorithm.quantiles=1: expected a whole number >= 2"],
        ),
        (
            [QUARK, "algorithm.learns=some"],
            ["algorithm.learns=some: expected one of all, best"],
        ),
        (
            [ROUNDS, "algorithm.round_iterations=0"],
            ["algorithm.round_iterations=0: expected a whole number >= 1"],
        ),
    ],
)
def test_what_would_do_nothing(planned, lines, faults):
    assert planned(*lines).faults == faults


def test_quark_has_a_coefficient_that_may_move_and_a_kl_of_its_own():
    """Its KL is the exact one of each token, whatever the pieces say; a schedule, a target and a
    reference that moves work as elsewhere."""
    cfg = validate(compose([QUARK]))
    assert (cfg.kl.coef, cfg.advantage.name, cfg.algorithm.quantiles) == (0.05, "none", 5)
    for lines in (["kl/controller=adaptive"], ["kl/controller=linear"], ["kl/reference=ema"]):
        assert unused_cautions(validate(compose([QUARK, *lines]))) == []
    assert unused_cautions(validate(compose([QUARK, "kl=grpo", "ppo.policy_clip=0.1"]))) == [
        "algorithm=quark does not read kl/estimator=k3, kl/placement=loss, ppo.policy_clip=0.1"
    ]


def test_an_algorithm_of_ones_own_says_it_too(tmp_path, monkeypatch, planned):
    (tmp_path / "mine_unused.py").write_text(
        "class Mine:\n    unused = frozenset({'advantage'})\n    least_responses = 3\n"
        "class Made:\n    needs_values = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "mine_unused")
    lines = ["algorithm._target_=mine_unused.Mine", "advantage=none", "ppo.responses_per_prompt=2"]
    (fault,) = planned(*lines).faults
    assert "compares the responses to a prompt; expected 3 or more" in fault
    assert planned(*lines[:2], "ppo.responses_per_prompt=4").faults == []
