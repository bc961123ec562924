from dataclasses import replace

import pytest

from rlhf.compare.read.runs import load, load_run
from rlhf.compare.statistics.health import (
    CHECKS,
    RULES,
    Sickness,
    by_kind,
    diagnose,
    well,
)
from rlhf.compare.statistics.settings import group
from rlhf.compare.statistics.step_response import steering


@pytest.fixture
def sick(rundirs, tmp_path):
    """sick(name, rows, **kwargs) -> a finished run with these rows instead of its own."""

    def make(rows, name="r", **kwargs):
        directory = rundirs.make_run(tmp_path / name, **kwargs)
        (directory / "metrics.jsonl").unlink()
        rundirs.append(
            directory / "metrics.jsonl", *({"iteration": i, **row} for i, row in enumerate(rows))
        )
        return load_run(directory)

    return make


def _evaluations(**columns):
    names = {
        "length": "response/length",
        "proxy": "reward/proxy",
        "gold": "reward/gold",
        "entropy": "policy/entropy",
        "ended": "response/ended",
    }
    rows = zip(*columns.values(), strict=True)
    return [
        {f"eval/{names[key]}": value for key, value in zip(columns, row, strict=True)}
        for row in rows
    ]


def test_every_rule_has_its_check():
    assert list(RULES) == list(CHECKS)


def test_length_gaming(sick):
    check = CHECKS["Length gaming"]
    said = check(sick(_evaluations(length=[10, 20], proxy=[0, 2], gold=[1, 0.5]), "a"))
    assert said == "Responses went from 10 to 20 tokens while proxy rose by 2; gold fell by 0.5."
    assert "no gold reward says" in check(sick(_evaluations(length=[10, 4], proxy=[0, 2]), "b"))
    # gold likes it too
    assert check(sick(_evaluations(length=[10, 20], proxy=[0, 2], gold=[1, 2]), "c")) == ""
    assert check(sick(_evaluations(length=[10, 14], proxy=[0, 2], gold=[1, 0]), "d")) == ""
    assert check(sick([], "e")) is None


def test_entropy_collapse(sick):
    assert "from 2 to 0.4 nats" in CHECKS["Entropy collapse"](
        sick(_evaluations(entropy=[2.0, 1.0, 0.4]), "a")
    )
    assert CHECKS["Entropy collapse"](sick(_evaluations(entropy=[2.0, 0.6]), "b")) == ""


def test_value_divergence(sick):
    check = CHECKS["Value divergence"]
    assert "-0.50" in check(
        sick(
            [{"ppo/explained_variance": v} for v in (0.9, 0.9, 0.9, 0.9, 0.9, 0.9, -0.5, -0.5)], "a"
        )
    )
    # it began badly, as all do
    assert check(sick([{"ppo/explained_variance": v} for v in (-3.0, -1.0, 0.5, 0.5)], "b")) == ""
    assert check(sick([{"ppo/value_loss": "nan"}], "c")) == "The value loss stopped being a number."


def test_kl_blow_up(sick):
    check = CHECKS["KL blow-up"]
    own = _evaluations(entropy=[2.0, 1.0], length=[10, 10])  # SFT's responses carry 20 nats
    assert "(median 50 nats) is far above the entropy of SFT's own responses (20 nats)" in check(
        sick([*own, {"kl/sequence_nats": 50.0}], "a")
    )
    assert check(sick([*own, {"kl/sequence_nats": 39.0}], "b")) == ""
    assert check(sick([{"kl/sequence_nats": 500.0}], "c")) is None  # nothing to hold it against
    assert "2.5 times the target of 6" in check(
        sick([{"kl/sequence_nats": 15.0}], "d", controller="Adaptive")
    )
    assert check(sick([{"kl/sequence_nats": 11.0}], "e", controller="Adaptive")) == ""


def test_reward_at_its_clip(sick):
    clipped = [{"ppo/score_clipped": v} for v in (0.0, 0.0, 0.0, 0.2)]
    assert "20% of the scores were cut by reward_clip (10.0)" in CHECKS["Reward at its clip"](
        sick(clipped, "a", config={"ppo": {"reward_clip": 10.0}})
    )
    assert CHECKS["Reward at its clip"](sick(clipped[:3], "b")) == ""


def test_never_ends(sick):
    check = CHECKS["Never ends"]
    text = check(sick(_evaluations(ended=[1.0, 0.4]), "c"))
    assert text.startswith("60% of the responses to held-out prompts ran into the length limit")
    assert "(SFT: 0%)." in text
    assert check(sick(_evaluations(ended=[1.0, 0.9]), "d")) == ""
    assert check(sick(_evaluations(ended=[0.3, 0.1]), "e")) != ""  # a third of SFT's share
    assert check(sick(_evaluations(ended=[0.3, 0.2]), "f")) == ""
    assert check(sick(_evaluations(ended=[0.0, 0.0]), "g")) == ""  # all are cut anyway
    assert check(sick([], "h")) is None


def test_never_ends_says_what_ppo_saw(sick):
    run = sick(_evaluations(ended=[1.0, 0.0]), "r", proxy=0.5, gold=4.0)
    scored = replace(run, summary=run.summary | {"ppo/score": -1.0})
    assert CHECKS["Never ends"](scored).endswith(
        "The score that is maximised is -1.00, proxy 0.50 and gold 4.00."
    )


def test_equal_rewards_and_empty_responses(sick):
    """The last quarter of 8 iterations of 64 responses."""

    def rows(equal, empty):
        drawn = [64] * 8
        counts = {"equal_rewards": equal, "empty": empty, "responses": drawn}
        return [
            {"iteration": i, **{f"rollout/{k}": v[i] for k, v in counts.items()}} for i in range(8)
        ]

    late = [0] * 6
    ill = sick(rows([*late, 1, 1], [*late, 20, 28]), "a")
    well = sick(rows([*late, 0, 1], [*late, 0, 16]), "b")
    assert "equal in 100% of the last rollouts" in CHECKS["Equal rewards"](ill)
    assert "38% of the last" in CHECKS["Empty responses"](ill)
    assert CHECKS["Equal rewards"](well) == CHECKS["Empty responses"](well) == ""


def test_settings_are_told_once_with_the_number_of_their_runs(sick, tmp_path):
    for seed in range(3):
        sick(_evaluations(entropy=[2.0, 0.1 if seed else 1.0]), f"s{seed}", seed=seed)
    (found,) = diagnose(group(load(tmp_path)))
    assert (found.kind, found.setting, found.runs, found.of) == (
        "Entropy collapse",
        "kl.coef=0.05",
        2,
        3,
    )


def test_a_target_per_token_is_no_target_per_response(sick):
    node = {"_target_": "rlhf.kl.controller.Adaptive", "target": 0.1, "unit": "token"}
    a, b = (
        sick([], "a", config={"kl": {"coef": 0.1, "controller": node}}),
        sick([], "b", controller="Adaptive"),
    )
    assert [(steering(run).unit, steering(run).target) for run in (a, b)] == [
        ("token", 0.1),
        ("sequence", 6.0),
    ]
    assert (
        CHECKS["KL blow-up"](
            sick(
                [{"kl/sequence_nats": 15.0}], "c", config={"kl": {"coef": 0.1, "controller": node}}
            )
        )
        is None
    )


def test_a_kind_is_told_once_of_the_setting_that_has_it_most():
    found = [
        Sickness(kind=kind, setting=setting, runs=runs, of=3, sentence="")
        for kind, setting, runs in (("A", "x", 1), ("A", "y", 3), ("A", "z", 3), ("B", "x", 2))
    ]
    assert [
        (first.kind, first.setting, [o.setting for o in others]) for first, others in by_kind(found)
    ] == [
        ("A", "y", ["x", "z"]),
        ("B", "x", []),
    ]


def test_a_fall_of_gold_within_its_noise_is_no_gaming(sick):
    rows = _evaluations(length=[10, 20], proxy=[0, 2], gold=[1.0, 0.9])
    # 2 x hypot(0.04, 0.04) = 0.113
    assert (
        CHECKS["Length gaming"](sick([row | {"eval/reward/gold_se": 0.04} for row in rows], "a"))
        == ""
    )
    assert "gold fell by 0.1" in CHECKS["Length gaming"](
        sick([row | {"eval/reward/gold_se": 0.03} for row in rows], "b")
    )


def test_healthy_is_only_what_was_looked_at(sick, tmp_path):
    sick([{"reward/proxy": 1.0}])
    assert well(group(load(tmp_path))).startswith("There was nothing to check")
    sick([{"ppo/value_loss": 0.5}], "s", seed=1)
    assert well(group(load(tmp_path))).startswith(
        "None of the known sicknesses was found in the 2 finished runs; nothing was recorded"
    )
