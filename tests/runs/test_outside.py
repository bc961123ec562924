"""Runs that are entered from outside: with a policy, with a reward model, with neither; each from
the data alone that its stages need."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf.rundir.errors import ModelError, RunFailed
from rlhf.rundir.read import read_json
from tests import outside

PARENTS = ("sft", "reward_model")
JSONL = ["data=jsonl", "data.max_response_tokens=6", "data.vocabulary=300"]


@pytest.fixture(scope="session")
def words():
    return outside.bpe()


@pytest.fixture
def files(tmp_path):
    """Settings that name a file of pairs, or of prompts."""
    pairs = outside.rows(tmp_path / "pairs.jsonl", "prompt", "chosen", "rejected")
    prompts = outside.rows(tmp_path / "prompts.jsonl", "prompt")
    return {
        "pairs": [*JSONL, f"data.preferences={pairs}"],
        "prompts": [*JSONL, f"data.prompts={prompts}"],
    }


@pytest.fixture
def policy(tmp_path, words):
    return outside.saved(tmp_path / "policy", outside.llama(words), words)


@pytest.fixture
def scores(tmp_path, words):
    config = outside.llama(words, num_labels=1, score_mean=0.25, score_std=0.5)
    return outside.saved(tmp_path / "scores", config, words, scalar=True, seed=1)


@pytest.fixture
def go(run_in, tmp_path):
    """go(name, *overrides) -> summary, with a store of its own."""

    def run(name, *overrides):
        own = f"paths.artifacts={tmp_path / 'artifacts'}"
        given = [word for word in overrides if word.startswith("model")]
        return run_in(
            tmp_path / name, own, *overrides, without=("data.", *("model.",) * bool(given))
        )

    return run


def artifacts(tmp_path, stage):
    """The stage's artifacts and their manifests."""
    folders = sorted((tmp_path / "artifacts" / stage).glob("*/manifest.json"))
    return [(path.parent, read_json(path)) for path in folders]


@pytest.mark.slow
def test_ppo_from_a_policy_and_a_reward_model(go, files, tmp_path, policy, scores):
    given = [*files["prompts"], f"sft.path={policy}", f"reward_model.path={scores}"]
    summary = go("run", *given)
    assert summary["status"] == "finished" and summary["iterations"] == 4
    assert summary["sft/perplexity"] is None and summary["reward_model/accuracy"] is None
    ((sft, made),) = artifacts(tmp_path, "sft")
    # the weights are the same file, not a copy
    assert (sft / "model.safetensors").samefile(policy / "model.safetensors")
    assert made["origin"]["path"] == str(policy) and made["origin"]["trained"] is False
    assert set(made["origin"]["content"]["files"]) >= {"model.safetensors", "tokenizer.json"}
    ((rm, made),) = artifacts(tmp_path, "reward_model")
    assert (rm / "model.safetensors").samefile(scores / "model.safetensors")
    assert made["origin"]["normalized"] == "as it was"
    config = json.loads((rm / "config.json").read_text())
    assert (config["score_mean"], config["score_std"]) == (0.25, 0.5)
    # the first policy is the policy that was given: its KL is 0
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["eval/kl/sequence_nats"] == 0.0
    # again: nothing is made anew
    times = {path: path.stat().st_mtime_ns for path in (sft, rm)}
    go("again", *given, "kl.coef=0.1")
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert len(artifacts(tmp_path, "sft")) == 1


@pytest.mark.slow
def test_a_reward_model_from_pairs_alone(go, files, tmp_path):
    """No SFT stage at all where nothing of the policy is read."""
    own = ["stage=reward_model", "reward_model.init=model", "reward_model.normalize=false"]
    summary = go("alone", *files["pairs"], *own)
    assert summary["status"] == "finished" and "sft" not in summary["fingerprints"]
    assert artifacts(tmp_path, "sft") == [] and len(artifacts(tmp_path, "reward_model")) == 1
    # with the untrained policy beneath it, the scores are normalised on its samples
    summary = go("untrained", *files["pairs"], "stage=reward_model", "sft=none")
    assert "score_mean" in summary and "sft" in summary["fingerprints"]


@pytest.mark.slow
def test_ppo_from_an_untrained_policy_by_gold(go, files, tmp_path):
    by_gold = ["sft=none", "scorer=gold", "data.gold=vader", "ppo.value_init=policy"]
    summary = go("run", *files["prompts"], *by_gold)
    assert summary["status"] == "finished" and set(summary["fingerprints"]) == {
        "data",
        "sft",
        "ppo",
    }
    ((_, made),) = artifacts(tmp_path, "sft")
    assert made["origin"]["trained"] is False and "path" not in made["origin"]
    assert made["metrics"] == {}
    # settings of a training that is none decide nothing
    go("other", *files["prompts"], *by_gold, "sft.optimizer.lr=0.5")
    assert len(artifacts(tmp_path, "sft")) == 1


@pytest.mark.slow
def test_a_policy_of_16_bits_is_trained_in_32(go, files, tmp_path, words):
    half = outside.saved(tmp_path / "half", outside.llama(words), words, dtype=torch.bfloat16)
    go("run", *files["prompts"], "stage=sft", f"sft.path={half}")
    ((sft, _),) = artifacts(tmp_path, "sft")
    ours, theirs = (load_file(f / "model.safetensors") for f in (sft, half))
    assert {t.dtype for t in ours.values()} == {torch.float32}
    assert all(torch.equal(ours[name], theirs[name].float()) for name in theirs)


@pytest.mark.slow
def test_normalised_anew(go, files, tmp_path, policy, scores):
    given = [*files["prompts"], f"sft.path={policy}", f"reward_model.path={scores}"]
    go("run", *given, "stage=reward_model", "reward_model.normalize=true")
    ((rm, made),) = artifacts(tmp_path, "reward_model")
    assert made["origin"]["normalized"] == "anew" and "sft" in made["fingerprints"]
    assert made["metrics"]["score_std"] != 0.5
    assert not (rm / "model.safetensors").samefile(scores / "model.safetensors") or (
        json.loads((rm / "config.json").read_text())["score_mean"] != 0.25
    )


@pytest.mark.slow
def test_another_file_at_the_same_path_is_another_run(go, files, tmp_path, policy):
    given = [*files["prompts"], f"sft.path={policy}", "scorer=gold", "data.gold=vader"]
    given += ["ppo.value_init=policy", "ppo.iterations=2"]
    go("run", *given)
    before = load_file(policy / "model.safetensors")
    (policy / "model.safetensors").unlink()
    moved = {name: tensor + 0.01 for name, tensor in before.items()}
    save_file(moved, policy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunFailed, match=r"sft\.path \(model\.safetensors\)\. rerun=true"):
        go("run", *given)
    go("other", *given)
    assert len(artifacts(tmp_path, "sft")) == 2


@pytest.mark.slow
def test_a_cut_run_goes_on_and_a_finished_one_is_reproduced(
    run_in, stop_at, reproduce, home, words
):
    """Bitwise, with the artifacts taken over again; and where the folder is gone, a sentence."""
    import signal

    from rlhf.rundir.errors import Stopped

    policy = outside.saved(home / "policy", outside.llama(words), words)
    config = outside.llama(words, num_labels=1)
    scores = outside.saved(home / "scores", config, words, scalar=True, seed=1)
    prompts = outside.rows(home / "prompts.jsonl", "prompt")
    given = [*JSONL, f"data.prompts={prompts}", f"sft.path={policy}", "paths.artifacts=store"]
    given += [f"reward_model.path={scores}"]
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(home / "run", *given, without="data.")
    run_in(home / "run", *given, without="data.")
    code, said = reproduce("run")
    assert code == 0, said
    assert "bitwise equal: 4 iterations" in said
    shutil.rmtree(policy)
    code, said = reproduce("run", "--into", "gone")
    assert code == 2 and "sft.path=" in said and "Traceback" not in said, said
    assert os.path.isdir("store")


@pytest.mark.slow
def test_our_own_artifacts_give_the_numbers_that_they_were_trained_for(run_in, tmp_path):
    """Reviews, word-level tokenizer: the same policy, the same normalised scores, so the same
    metrics to the last bit."""
    summary = run_in(tmp_path / "trained")
    artifacts = Path(
        read_json(tmp_path / "trained" / "manifest.json")["config"]["paths"]["artifacts"]
    )
    paths = {stage: artifacts / stage / summary["fingerprints"][stage] for stage in PARENTS}
    given = [f"{stage}.path={path}" for stage, path in paths.items()]
    entered = run_in(tmp_path / "entered", *given, f"paths.artifacts={tmp_path / 'other'}")
    first, second = (
        (tmp_path / name / "metrics.jsonl").read_text() for name in ("trained", "entered")
    )
    assert first == second
    assert entered["fingerprints"]["sft"] != summary["fingerprints"]["sft"]
    made = read_json(tmp_path / "other" / "sft" / entered["fingerprints"]["sft"] / "manifest.json")
    assert made["origin"]["artifact"] == f"sft-{summary['fingerprints']['sft']}"


# --- refused before anything is trained


@pytest.fixture
def refused(go, tmp_path):
    """refused(*overrides) -> the sentences; nothing was made."""

    def ask(*overrides):
        with pytest.raises(ModelError) as error:
            go("refused", *overrides)
        assert artifacts(tmp_path, "sft") == artifacts(tmp_path, "reward_model") == []
        return error.value.faults

    return ask


def test_a_reward_model_with_a_tokenizer_of_its_own(refused, files, tmp_path, policy):
    other = outside.bpe(290, ["quite other words, written by other people"])
    config = outside.llama(other, num_labels=1)
    folder = outside.saved(tmp_path / "other", config, other, scalar=True)
    given = [*files["prompts"], f"sft.path={policy}", f"reward_model.path={folder}"]
    faults = refused(*given)
    assert all(fault.startswith(f"reward_model.path={folder}: ") for fault in faults)
    assert f"the vocabulary has {len(other)} tokens, the policy's 300: " in faults[0]
    assert f"scorer=classifier scorer.path={folder}" in faults[-1]


def test_models_in_each_others_place(refused, files, tmp_path, words, policy, scores):
    prompts = files["prompts"]
    (fault,) = refused(*prompts, f"sft.path={scores}", "stage=sft")
    assert fault == (
        f"sft.path={scores}: is a LlamaForSequenceClassification, expected a causal LM; a reward"
        " model is given by reward_model.path"
    )
    (fault,) = refused(*prompts, f"sft.path={policy}", f"reward_model.path={policy}")
    assert fault.startswith(f"reward_model.path={policy}: is a LlamaForCausalLM, expected a model")
    bare = outside.saved(tmp_path / "bare", outside.llama(words, num_labels=1), scalar=True)
    (fault,) = refused(*prompts, f"sft.path={policy}", f"reward_model.path={bare}")
    assert fault.startswith(f"reward_model.path={bare}: has no tokenizer that can be read")


def test_two_labels_and_too_few_positions(refused, files, tmp_path, words, policy):
    """6 tokens of a response leave no room in 6 positions."""
    two = outside.llama(words, num_labels=2)
    folder = outside.saved(tmp_path / "two", two, words, scalar=True)
    given = [*files["prompts"], f"sft.path={policy}", f"reward_model.path={folder}"]
    (fault,) = refused(*given)
    assert (
        fault == f"reward_model.path={folder}: num_labels is 2, expected 1: a reward is one number"
    )
    short = outside.llama(words, positions=6, num_labels=1)
    folder = outside.saved(tmp_path / "shorter", short, words, scalar=True)
    (fault,) = refused(*given[:-1], f"reward_model.path={folder}")
    assert fault == (
        f"reward_model.path={folder}: max_position_embeddings is 6, the policy's 256:"
        " generation.max_new_tokens=6 leaves no room for a prompt; set it below 6"
    )


def test_a_backbone_with_other_ids_than_the_policy(refused, files, tmp_path, policy):
    other = outside.bpe(290, ["quite other words, written by other people"])
    folder = outside.saved(tmp_path / "base", outside.gpt2(other), other)
    given = [*files["pairs"], f"sft.path={policy}", "reward_model.init=model", "model=hf"]
    given = [*given, f"model.path={folder}", "stage=reward_model"]
    faults = refused(*given)
    assert faults[0].startswith(f"model.path={folder} (reward_model.init=model): the vocabulary")


def test_an_embedding_without_room_for_the_policys_pad(refused, files, tmp_path, words, policy):
    """The policy's pad is a token that the reward model's embedding does not have."""
    config = outside.llama(words, num_labels=1)
    folder = outside.saved(tmp_path / "scores", config, words, scalar=True)
    padded = outside.bpe()
    padded.add_special_tokens({"pad_token": "<|pad|>"})
    larger = outside.saved(tmp_path / "larger", outside.llama(padded), padded)
    given = [*files["prompts"], f"sft.path={larger}", f"reward_model.path={folder}"]
    (fault,) = refused(*given)
    assert fault.startswith(f"reward_model.path={folder}: the pad token <|pad|> has the id 300")


def test_a_head_that_is_not_in_the_file(go, files, tmp_path, words, policy):
    """transformers would make up a random one."""
    folder = outside.saved(tmp_path / "headless", outside.llama(words, num_labels=1), words)
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    given = [*files["prompts"], f"sft.path={policy}", f"reward_model.path={folder}"]
    with pytest.raises(ModelError, match=r"has no weights for score\.weight of LlamaForSeq"):
        go("run", *given)
