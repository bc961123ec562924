"""Runs whose roles are adapters beside one frozen network."""

from pathlib import Path

import pytest

from rlhf.models.files.adapter import base_of, is_adapter
from rlhf.rundir.errors import ModelError
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json

LORA, HEAD = "model/adapter=lora", "model/adapter=head"


def rows(directory):
    return read_jsonl(directory / "metrics.jsonl")


def artifact(artifacts, summary, stage):
    return artifacts / stage / summary["fingerprints"][stage]


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "head"])
@pytest.mark.parametrize("sharing", ["backbone", "separate"])
@pytest.mark.parametrize("sft", ["adapter", "all"])
def test_every_way_through_the_stages(run_in, tmp_path, artifacts, adapter, sharing, sft):
    words = [f"model/adapter={adapter}", f"model/sharing={sharing}", f"sft.trained={sft}"]
    summary = run_in(tmp_path / "run", *words)
    assert summary["status"] == "finished"
    every = rows(tmp_path / "run")
    assert every[0]["eval/kl/sequence_nats"] == 0.0 != every[-1]["eval/kl/sequence_nats"]
    assert not any("moving" in key for row in every for key in row)
    # what was trained is all that is kept, and names where the rest is
    places = {
        stage: artifact(artifacts, summary, stage) for stage in ("sft", "reward_model", "ppo")
    }
    assert is_adapter(places["sft"]) == (sft == "adapter")
    assert is_adapter(places["reward_model"]) and is_adapter(places["ppo"])
    base = Path(base_of(places["ppo"]).path)
    assert base == (places["sft"].resolve() if sft == "all" else base)
    assert (base / "model.safetensors").is_file() and base == Path(
        base_of(places["reward_model"]).path
    )
    made = read_json(places["ppo"] / "manifest.json")
    assert made["adapter"]["base"] == str(base) and "q_proj" in made["adapter"]["targets"]
    assert made["policy_sha256"] == summary["policy_sha256"]


@pytest.mark.slow
def test_value_models(run_in, tmp_path):
    for start in ("reward_backbone", "policy"):
        for words in ([LORA], [HEAD], [LORA, "model/sharing=separate"]):
            directory = tmp_path / f"{start}-{len(words)}-{words[0][-4:]}"
            run_in(directory, *words, f"ppo.value_init={start}", "ppo.iterations=1")
            # a head of zeros: no value is anything else before the first step
            assert (
                rows(directory)[1]["value/mean"] == 0.0
                if "value/mean" in rows(directory)[1]
                else True
            )


@pytest.mark.slow
def test_a_reward_model_with_a_network_of_its_own(run_in, tmp_path, artifacts):
    whole = "reward_model.trained=all"
    summary = run_in(tmp_path / "policy", LORA, whole, "ppo.value_init=policy")
    assert not is_adapter(artifact(artifacts, summary, "reward_model"))
    run_in(tmp_path / "separate", LORA, whole, "model/sharing=separate")
    run_in(tmp_path / "heads", HEAD, "reward_model.trained=all", "model/sharing=separate")
    # by its path: known before anything is trained
    path = f"reward_model.path={artifact(artifacts, summary, 'reward_model')}"
    with pytest.raises(ModelError, match="has a network of its own"):
        run_in(tmp_path / "path", LORA, path)
    run_in(tmp_path / "path-policy", LORA, path, "ppo.value_init=policy")
