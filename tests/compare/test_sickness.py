import pytest

from rlhf.compare.load import load, load_run
from rlhf.compare.settings import group
from rlhf.compare.sickness import CHECKS, RULES, diagnose, target_nats


@pytest.fixture
def sick(rundirs, tmp_path):
    """sick(name, rows, **kwargs) -> a finished run with these rows instead of its own."""

    def make(rows, name="r", **kwargs):
        directory = rundirs.make_run(tmp_path / name, **kwargs)
        (directory / "metrics.jsonl").unlink()
        rundirs.append(directory / "metrics.jsonl", *({"iteration": i, **row} for i, row in enumerate(rows)))
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
    return [{f"eval/{names[key]}": value for key, value in zip(columns, row, strict=True)} for row in rows]


def test_every_rule_has_its_check():
    assert list(RULES) == list(CHECKS)


def test_length_gaming(sick):
    check = CHECKS["Length gaming"]
    said = check(sick(_evaluations(length=[10, 20], proxy=[0, 2], gold=[1, 0.5]), "a"))
    assert said == "Responses went from 10 to 20 tokens while proxy rose by 2; gold fell by 0.5."
    assert "no gold reward says" in check(sick(_evaluations(length=[10, 4], proxy=[0, 2]), "b"))
    assert check(sick(_evaluations(length=[10, 20], proxy=[0, 2], gold=[1, 2]), "c")) is None  # gold likes it too
    assert check(sick(_evaluations(length=[10, 14], proxy=[0, 2], gold=[1, 0]), "d")) is None
    assert check(sick([], "e")) is None


def test_entropy_collapse(sick):
    assert "from 2 to 0.4 nats" in CHECKS["Entropy collapse"](sick(_evaluations(entropy=[2.0, 1.0, 0.4]), "a"))
    assert CHECKS["Entropy collapse"](sick(_evaluations(entropy=[2.0, 0.6]), "b")) is None


def test_value_divergence(sick):
    check = CHECKS["Value divergence"]
    assert "-0.50" in check(sick([{"ppo/explained_variance": v} for v in (0.9, 0.9, 0.9, 0.9, 0.9, 0.9, -0.5, -0.5)], "a"))
    assert check(sick([{"ppo/explained_variance": v} for v in (-3.0, -1.0, 0.5, 0.5)], "b")) is None  # it began badly, as all do
    assert check(sick([{"ppo/value_loss": "nan"}], "c")) == "The value loss stopped being a number."


def test_kl_blow_up(sick):
    check = CHECKS["KL blow-up"]
    own = _evaluations(entropy=[2.0, 1.0], length=[10, 10])  # SFT's responses carry 20 nats
    assert "ended at 50 nats; SFT's own responses carry about 20" in check(sick([*own, {"kl/sequence_nats": 50.0}], "a"))
    assert check(sick([*own, {"kl/sequence_nats": 39.0}], "b")) is None
    assert check(sick([{"kl/sequence_nats": 500.0}], "c")) is None  # nothing to hold it against
    assert "2.5 times the target of 6" in check(sick([{"kl/sequence_nats": 15.0}], "d", controller="Adaptive"))
    assert check(sick([{"kl/sequence_nats": 11.0}], "e", controller="Adaptive")) is None


def test_reward_at_its_clip_and_responses_that_do_not_end(sick):
    clipped = [{"ppo/score_clipped": v} for v in (0.0, 0.0, 0.0, 0.2)]
    assert "20% of the scores were cut by reward_clip (10.0)" in CHECKS["Reward at its clip"](
        sick(clipped, "a", config={"ppo": {"reward_clip": 10.0}})
    )
    assert CHECKS["Reward at its clip"](sick(clipped[:3], "b")) is None
    assert "60% of the responses" in CHECKS["Responses that do not end"](sick(_evaluations(ended=[1.0, 0.4]), "c"))
    assert CHECKS["Responses that do not end"](sick(_evaluations(ended=[1.0, 0.9]), "d")) is None


def test_settings_are_told_once_with_the_number_of_their_runs(sick, tmp_path):
    for seed in range(3):
        sick(_evaluations(entropy=[2.0, 0.1 if seed else 1.0]), f"s{seed}", seed=seed)
    (found,) = diagnose(group(load(tmp_path)))
    assert (found.kind, found.setting, found.runs, found.of) == ("Entropy collapse", "kl.coef=0.05", 2, 3)


def test_a_target_per_token_is_no_target_per_response(sick):
    node = {"_target_": "rlhf.kl.controller.Adaptive", "target": 0.1, "unit": "token"}
    assert target_nats(sick([], "a", config={"kl": {"coef": 0.1, "controller": node}})) is None
    assert target_nats(sick([], "b", controller="Adaptive")) == 6.0
