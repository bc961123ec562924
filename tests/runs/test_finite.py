"""Whole runs with a number that is NaN or infinite: they fail with a sentence, leave nothing bad
behind, and the same command goes on once the cause is gone."""

import math
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf.callbacks.checkpoint import AtomicCheckpointIO
from rlhf.config.compose import compose, validate
from rlhf.rundir.errors import NonFinite
from rlhf.rundir.files import read_jsonl, write_json
from rlhf.rundir.read import read_json
from rlhf.rundir.status import read_status
from rlhf.runs.execute import execute
from tests.conftest import SMALL

MODULE = '''
import os

from rlhf.rollout.score import GoldScorer


class Faulty(GoldScorer):
    """While FAULT is set: its value for one response of the third rollout."""

    rollouts = 0

    def score(self, responses):
        score = super().score(responses)
        if len(score) == 16:
            self.rollouts += 1
            if self.rollouts == 3 and os.environ.get("FAULT"):
                score = score.clone()
                score[5] = float(os.environ["FAULT"])
        return score
'''
OWN = ("scorer=gold", "scorer._target_=faulty.Faulty", "ppo.value_init=policy")


@pytest.fixture
def own_scorer(tmp_path, monkeypatch):
    (tmp_path / "faulty.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "faulty")
    yield
    sys.modules.pop("faulty", None)


@pytest.mark.parametrize("clip", ["1.0", "null"])
def test_finite_or_nothing_and_the_same_command_goes_on(
    run_in, own_scorer, tmp_path, monkeypatch, clip
):
    """One NaN of 16: iterations 1 and 2 are kept, and the run ends as one without a fault."""
    lines, place = [*OWN, f"ppo.grad_clip={clip}"], tmp_path / "run"
    monkeypatch.setenv("FAULT", "nan")
    with pytest.raises(NonFinite) as error:
        run_in(place, *lines)
    sentence = str(error.value)
    assert sentence.startswith("ppo, iteration 3: score of the scorer: nan in 1 of 16 responses")
    assert sentence.endswith("the same command goes on from " + str(_checkpoints(place)[-1]))
    assert [path.stem for path in _checkpoints(place)] == ["iteration-000001", "iteration-000002"]
    for path in _checkpoints(place):
        state = AtomicCheckpointIO().load_checkpoint(path)["state_dict"]
        assert all(bool(torch.isfinite(x).all()) for x in state.values())
    assert not (place / "policy").exists() and read_status(place)["state"] == "failed"
    monkeypatch.delenv("FAULT")
    summary, whole = run_in(place, *lines), run_in(tmp_path / "whole", *lines)
    assert summary["policy_sha256"] == whole["policy_sha256"] and summary["warnings"] == []


def test_a_run_that_drops_says_so(run_in, own_scorer, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FAULT", "inf")
    summary = run_in(tmp_path / "run", *OWN, "ppo.on_nonfinite=drop")
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [row["rollout/nonfinite"] for row in rows[1:]] == [0, 0, 1, 0]
    assert [row["episodes"] for row in rows[1:]] == [16, 32, 48, 64]
    (warning,) = summary["warnings"]
    assert "left out of training, in 1 of 4 iterations" in warning
    assert caplog.text.count("left out") == 1 and "row 5, to " in caplog.text


def test_a_reward_whose_square_overflows_is_told_before_the_loss_stops_the_run(
    run_in, own_scorer, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("FAULT", "1e38")
    with pytest.raises(NonFinite, match="ppo, iteration 3, optimizer step .*: the loss is inf"):
        run_in(tmp_path / "run", *OWN, "scorer.reward_clip=null")
    assert "ppo, iteration 3: rewards were so large that float32 loses kl.coef * KL" in caplog.text


def _checkpoints(directory):
    return sorted((directory / "checkpoints").glob("*.ckpt"))


@pytest.mark.parametrize("lr", ["90", "100"])
@pytest.mark.parametrize("stage", ["sft", "reward_model"])
def test_finite_or_nothing_of_a_diverged_stage_is_published(tmp_path, stage, lr, capfd):
    lines = [
        *SMALL,
        f"paths.artifacts={tmp_path / 'artifacts'}",
        f"stage={stage}",
        f"optimizer@{stage}.optimizer=sgd",
        *(f"{stage}.{line}" for line in (f"optimizer.lr={lr}", "grad_clip=null", "lr_warmup=0.0")),
    ]
    code = execute(validate(compose(lines)), directory=tmp_path / "run")
    said = capfd.readouterr().err
    published = (tmp_path / "artifacts" / stage).glob("[!.]*/manifest.json")
    places = [path.parent for path in published if not path.parent.name.endswith(".work")]
    if code == 0:  # a processor's rounding decides at which rate the last step is too large
        (place,) = places
        weights = load_file(place / "model.safetensors")
        assert all(weight.isfinite().all() for weight in weights.values())
        return
    assert code == 1 and places == []
    assert f"{stage}, epoch " in said and "NaN or infinite" in said and "Traceback" not in said


def test_an_artifact_with_nan_is_not_reused(run_in, tmp_path):
    """One that an older version published."""
    own = f"paths.artifacts={tmp_path / 'artifacts'}"
    place = run_in(tmp_path / "sft", own, "stage=sft")["artifact"]
    weights = load_file(f"{place}/model.safetensors")
    next(iter(weights.values())).view(-1)[0] = math.nan
    save_file(weights, f"{place}/model.safetensors", metadata={"format": "pt"})
    made = read_json(Path(place) / "manifest.json")
    listing = ("files", "manifest_sha256")  # which older versions did not write
    write_json(Path(place) / "manifest.json", {k: v for k, v in made.items() if k not in listing})
    with pytest.raises(NonFinite, match=f"{place}: weights that are NaN.*move it away"):
        run_in(tmp_path / "run", own, "scorer=gold", "ppo.value_init=policy")


def test_a_reward_model_at_chance_is_told_by_its_maker_and_its_users(run_in, tmp_path, caplog):
    """It learned nothing: 4 held-out pairs could not tell it from guessing anyway."""
    lines = [f"paths.artifacts={tmp_path / 'artifacts'}", "reward_model.optimizer.lr=1.0e-9"]
    made = run_in(tmp_path / "reward", *lines, "stage=reward_model")
    (warning,) = made["warnings"]
    assert "held-out pairs right, which is not above guessing" in warning
    assert warning in caplog.text
    caplog.clear()
    used = run_in(tmp_path / "run", *lines)
    assert [w.partition(": ")[2] for w in used["warnings"] if "held-out pairs" in w] == [warning]
    assert warning in caplog.text
    assert read_json(tmp_path / "run" / "summary.json")["warnings"] == used["warnings"]


def test_every_eos_id_of_the_model_ends_a_response(run_in, tmp_path):
    own = f"paths.artifacts={tmp_path / 'artifacts'}"
    base = tmp_path / "model"
    os.rename(run_in(tmp_path / "sft", own, "stage=sft")["artifact"], base)
    (base / "manifest.json").unlink()
    config = read_json(base / "generation_config.json")
    stop = config["eos_token_id"]
    write_json(base / "generation_config.json", {**config, "eos_token_id": [stop, 7]})
    hf = [own, "model=hf", f"model.path={base}"]
    made = run_in(tmp_path / "again", *hf, "stage=sft", without="model.")
    written = read_json(Path(made["artifact"]) / "generation_config.json")
    assert written["eos_token_id"] == [stop, 7]
