"""The oracle in whole runs of a few seconds: two letters, responses of three tokens."""

import json

import pytest

from rlhf.modules.exact import the_only_stop
from rlhf.rollout.engines.base import Stops
from rlhf.rundir.files import read_jsonl

SMALL = [
    "data=micro",
    "data.vocabulary=2",
    "data.prompts=4",
    "data.max_response_tokens=3",
    "data.demonstrations=64",
    "data.pairs=32",
    "data.seed=1",
    "model.hidden_size=16",
    "model.layers=1",
    "model.heads=2",
    "sft.epochs=2",
    "ppo=micro",
    "scorer=gold",
    "advantage=exact",
    "ppo.iterations=4",
    "ppo.rollout_size=32",
    "ppo.minibatch_size=16",
    "evaluation.prompts=4",
    "evaluation.every=2",
    "tracking=none",
    "ppo.critic_warmup=0",
    "callbacks=oracle",
    "~callbacks.progress",
]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(directory, summary) of a run with the oracle, and the summary of the same run without it."""

    from rlhf.config.compose import compose, validate
    from rlhf.runs.run import run

    root = tmp_path_factory.mktemp("oracle")

    def go(name, *overrides):
        composed = compose([*SMALL, f"paths.artifacts={root / 'artifacts'}", *overrides])
        return run(
            validate(composed),
            directory=root / name,
        )

    return root / "with", go("with"), go("without", "~callbacks.oracle")


def test_records_of_evaluations_carry_the_exact_answers(done):
    rows = read_jsonl(done[0] / "metrics.jsonl")
    assert [row["iteration"] for row in rows if "oracle/share_of_gain" in row] == [0, 2, 4]
    first, last = rows[0], rows[-1]
    # the SFT policy is the reference
    assert abs(first["oracle/kl"]) < 1e-5 and abs(first["oracle/share_of_gain"]) < 1e-4
    assert last["oracle/objective"] == pytest.approx(
        last["oracle/reward"] - 0.05 * last["oracle/kl"]
    )
    assert (
        last["oracle/gap"] == pytest.approx(last["oracle/optimum"] - last["oracle/objective"])
        and last["oracle/gap"] > 0
    )
    assert last["oracle/missing_at_kl"] > 0
    assert last["oracle/gap"] == pytest.approx(0.05 * last["oracle/kl_to_optimum"], abs=1e-6)
    # nearer to the reference than the optimum at 0.05: as that of a larger coefficient
    assert last["oracle/kl"] < last["oracle/optimum_kl"] and last["oracle/effective_beta"] > 0.05


def test_the_summary_and_the_file_say_the_same(done):
    directory, summary, _ = done
    file = json.loads((directory / "oracle.json").read_text())
    assert file["beta"] == 0.05 and len(file["prompts"]) == 3
    assert file["mean"]["share_of_gain"] == pytest.approx(summary["oracle/share_of_gain"])
    assert file["mean"]["objective"] == pytest.approx(
        sum(p["objective"] for p in file["prompts"]) / 3
    )
    assert [row["n"] for row in file["best_of_n"]][:3] == [1, 2, 4]


def test_the_file_has_the_mixtures_with_the_reference(done):
    """At lambda 1 both are the policy; between, each has less KL than at the next."""
    file = json.loads((done[0] / "oracle.json").read_text())
    rows = {row["lambda"]: row for row in file["realign"]}
    assert [*rows] == [0.25, 0.5, 0.75, 1.0, 1.5] and rows[0.5]["beta"] == 0.1
    for kind in ("sequence", "token"):
        assert rows[1.0][kind]["kl"] == pytest.approx(file["mean"]["kl"], rel=1e-3)
        assert rows[1.0][kind]["objective"] == pytest.approx(file["mean"]["objective"], rel=1e-4)
        nats = [row[kind]["kl"] for row in rows.values()]
        assert nats == sorted(nats)
    assert rows[0.5]["apart"] >= 0 == pytest.approx(rows[1.0]["apart"], abs=1e-9)


def test_looking_changes_no_training(done):
    assert done[1]["policy_sha256"] == done[2]["policy_sha256"]
    assert not any(name.startswith("oracle/") for name in done[2])


def test_a_problem_too_large_is_told_before_training(tmp_path):

    from rlhf.config.compose import compose, validate
    from rlhf.runs.run import run

    composed = compose(
        [
            *SMALL,
            f"paths.artifacts={tmp_path / 'artifacts'}",
            "generation.max_new_tokens=12",
            "data.vocabulary=4",
        ]
    )
    with pytest.raises(ValueError, match="too many to enumerate"):
        run(
            validate(composed),
            directory=tmp_path / "run",
        )
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_responses_that_strings_end_are_in_no_list(tmp_path):
    from rlhf.config.compose import compose, validate
    from rlhf.runs.run import run

    lines = [f"paths.artifacts={tmp_path / 'artifacts'}", "generation.stop=[b]"]
    with pytest.raises(ValueError, match="responses end with strings"):
        run(validate(compose([*SMALL, *lines])), directory=tmp_path / "run")
    assert not (tmp_path / "artifacts" / "sft").exists()


def test_one_id_ends_a_response():
    assert the_only_stop(Stops(ids=(2,))) == 2
    with pytest.raises(ValueError, match="one of 2 ids"):
        the_only_stop(Stops(ids=(2, 7)))


def test_a_kill_after_the_last_checkpoint_does_not_cost_the_file(done, tmp_path):
    """Nothing is left to train then, and the callbacks end all the same."""
    import shutil

    from rlhf.config.compose import compose, validate
    from rlhf.runs.run import run

    store, directory = done[0].parent / "artifacts", tmp_path / "run"
    keep = "checkpoints.after_finish=last"
    cfg = validate(compose([*SMALL, f"paths.artifacts={store}", keep]))
    run(cfg, directory=directory)
    for name in ("oracle.json", "summary.json"):
        (directory / name).unlink()
    shutil.rmtree(directory / "policy")
    run(cfg, directory=directory)
    assert (directory / "oracle.json").read_bytes() == (done[0] / "oracle.json").read_bytes()
    assert len(read_jsonl(directory / "metrics.jsonl")) == 5
