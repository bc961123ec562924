"""The coefficient that a controller should find, and its error at each iteration, on two letters
and responses of three tokens."""

import json

import pytest

from rlhf.compare.read.runs import load_run

SMALL = [
    "data=micro",
    "data.vocabulary=2",
    "data.prompts=4",
    "data.max_response_tokens=3",
    "data.demonstrations=64",
    "data.pairs=32",
    "data.seed=1",
    "scorer=gold",
    "advantage=exact",
    "ppo=micro",
    "kl/controller=dual",
    "tracking=none",
    "model.hidden_size=16",
    "model.layers=1",
    "model.heads=2",
    "sft.epochs=2",
    "callbacks=oracle",
    "~callbacks.progress",
    "evaluation.prompts=4",
    "ppo.critic_warmup=0",
]


@pytest.fixture
def go(tmp_path):
    """go(name, *overrides) -> the run's directory"""

    from rlhf.config.compose import compose, validate
    from rlhf.runs.run import run

    def made(name, *overrides):
        composed = compose([*SMALL, f"paths.artifacts={tmp_path / 'artifacts'}", *overrides])
        run(
            validate(composed),
            directory=tmp_path / name,
        )
        return tmp_path / name

    return made


SHORT = ["ppo.iterations=2", "ppo.rollout_size=32", "ppo.minibatch_size=16", "evaluation.every=1"]


def test_target_and_error_are_logged_and_the_right_coefficient_is_solved_for(go):
    directory = go("run", *SHORT, "kl.controller.target=0.1")
    rows = load_run(directory).metrics[1:]
    assert [row["kl/target_sequence_nats"] for row in rows] == [0.1, 0.1]
    assert [row["kl/error_sequence_nats"] for row in rows] == pytest.approx(
        [row["kl/sequence_nats"] - 0.1 for row in rows]
    )
    found = json.loads((directory / "oracle.json").read_text())
    assert found["target"]["kl"] == 0.1
    points = found["frontier"]  # by beta, the KL falling
    above = max(p["beta"] for p in points if p["kl"] >= 0.1)
    below = min(p["beta"] for p in points if p["kl"] <= 0.1)
    assert above <= found["target"]["beta"] <= below


def test_no_target_no_such_numbers(go):
    directory = go("fixed", *SHORT, "kl/controller=fixed")
    assert not any(
        name.startswith(("kl/target", "kl/error"))
        for row in load_run(directory).metrics
        for name in row
    )
    assert "target" not in json.loads((directory / "oracle.json").read_text())
