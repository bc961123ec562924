"""Runs whose roles are adapters beside one frozen network."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf.config.validate import ConfigError
from rlhf.models.files.adapter import base_of, is_adapter, weights_file
from rlhf.rundir.errors import ModelError, RunFailed
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json
from tests import outside
from tests.runs import roles

pytestmark = pytest.mark.slow

# those of small models, in place of what model=hf brings
OPTIONS = [
    *("sft.batch_size=16", "ppo.micro_batch_size=null", "ppo.value_lr=null"),
    *("generation.max_new_tokens=6", "reward_model.max_length=64"),
]
LORA, HEAD = "model/adapter=lora", "model/adapter=head"


def rows(directory):
    return read_jsonl(directory / "metrics.jsonl")


def place_of(artifacts, summary, stage):
    return artifacts / stage / summary["fingerprints"][stage]


@pytest.fixture
def watched(run_in, monkeypatch):
    """watched(directory, *overrides) -> (summary, what the callback saw)"""
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")

    def go(directory, *overrides):
        roles.SEEN.clear()
        watch = "+callbacks.roles._target_=tests.runs.roles.Roles"
        return run_in(directory, *overrides, watch), roles.SEEN.get("ppo")

    return go


@pytest.mark.parametrize("adapter", ["lora", "head"])
@pytest.mark.parametrize("sharing", ["backbone", "separate"])
@pytest.mark.parametrize("sft", ["adapter", "all"])
def test_every_way_through_the_stages(watched, tmp_path, artifacts, adapter, sharing, sft):
    words = [f"model/adapter={adapter}", f"model/sharing={sharing}", f"sft.trained={sft}"]
    summary, seen = watched(tmp_path / "run", *words)
    assert summary["status"] == "finished"
    every = rows(tmp_path / "run")
    assert every[0]["eval/kl/sequence_nats"] == 0.0 != every[-1]["eval/kl/sequence_nats"]
    assert abs(every[1]["kl/sequence_nats"]) < 1e-5  # the sampler's numbers: 0 to rounding
    assert not any("moving" in key for row in every for key in row)
    # what is trained has moved, and nothing else
    moved = {name for name in seen["before"] if seen["before"][name] != seen["after"][name]}
    assert moved == {"policy", "value"}
    named = {name.rpartition(".lora_")[0] != "" for name in seen["trained"] if "policy" in name}
    assert named == {True}
    values = [name for name in seen["trained"] if name.startswith("value_model.")]
    assert (values == ["value_model.scalar_head.weight"]) == (adapter == "head")
    assert seen["networks"] == (1 if sharing == "backbone" else 3)
    # what was trained is all that is kept, and names where the rest is
    places = {
        stage: place_of(artifacts, summary, stage) for stage in ("sft", "reward_model", "ppo")
    }
    assert is_adapter(places["sft"]) == (sft == "adapter")
    assert is_adapter(places["reward_model"]) and is_adapter(places["ppo"])
    base = Path(base_of(places["ppo"]).path)
    assert base == (places["sft"].resolve() if sft == "all" else base)
    assert (base / "model.safetensors").is_file()
    assert base == Path(base_of(places["reward_model"]).path)
    made = read_json(places["ppo"] / "manifest.json")
    assert made["adapter"]["base"] == str(base) and "q_proj" in made["adapter"]["targets"]
    assert made["policy_sha256"] == summary["policy_sha256"]


def test_the_network_is_kept_once(run_in, tmp_path):
    own = f"paths.artifacts={tmp_path / 'artifacts'}"
    for seed in (0, 1):
        run_in(tmp_path / f"run{seed}", LORA, own, f"sft.seed={seed}", "stage=sft", "adapter.r=2")
    (network,) = (tmp_path / "artifacts" / "backbone").glob("*/manifest.json")
    sizes = {
        path.parent.name: weights_file(path.parent).stat().st_size
        for path in (tmp_path / "artifacts" / "sft").glob("*/manifest.json")
    }
    # r (in + out) numbers of 4 bytes for q, k, v, o (16 x 16), gate, up (16 x 64) and down
    assert len(sizes) == 2
    for size in sizes.values():
        assert 4 * 2 * (4 * 32 + 3 * 80) <= size <= 4 * 2 * (4 * 32 + 3 * 80) + 3000
    assert (network.parent / "model.safetensors").stat().st_size > 3 * size


@pytest.mark.parametrize("start", ["reward_backbone", "policy"])
@pytest.mark.parametrize("words", [[LORA], [HEAD], [LORA, "model/sharing=separate"]])
def test_value_models(watched, tmp_path, words, start):
    _, seen = watched(tmp_path / "run", *words, f"ppo.value_init={start}", "ppo.iterations=1")
    moved = {name for name in seen["before"] if seen["before"][name] != seen["after"][name]}
    assert moved == {"policy", "value"}


def test_a_reward_model_with_a_network_of_its_own(run_in, tmp_path, artifacts):
    whole = "reward_model.trained=all"
    summary = run_in(tmp_path / "policy", LORA, whole, "ppo.value_init=policy")
    place = place_of(artifacts, summary, "reward_model")
    assert not is_adapter(place)
    run_in(tmp_path / "separate", LORA, whole, "model/sharing=separate")
    run_in(tmp_path / "heads", HEAD, whole, "model/sharing=separate")
    # by its path: known before anything is trained
    with pytest.raises(ModelError, match="has a network of its own"):
        run_in(tmp_path / "path", LORA, f"reward_model.path={place}")
    run_in(tmp_path / "path-policy", LORA, f"reward_model.path={place}", "ppo.value_init=policy")


KL = {
    "loss": ["kl/placement=loss", "kl/estimator=k3"],
    "sequence_loss": ["kl/placement=sequence_loss", "kl/estimator=k2"],
    "exact": ["kl=exact"],
    "k1_clamped": ["kl=alpaca_farm"],
    "abs": ["kl/estimator=abs"],
    **{
        name: [f"kl/controller={name}"]
        for name in ("adaptive", "adaptive_alpaca_farm", "pid", "dual", "linear", "cosine")
    },
    "synced": ["kl/reference=synced", "kl.reference.every=2"],
    "warmup": ["ppo.critic_warmup=2"],
    "trust_region": ["trust_region=penalty"],
    "monte_carlo": ["advantage=monte_carlo", "ppo.value_init=policy"],
    "ensemble": ["scorer=ensemble"],
    "micro": ["ppo.micro_batch_size=4"],
    "best_of_n": ["best_of_n=default", "best_of_n.samples=4", "best_of_n.prompts=4"],
}


@pytest.mark.parametrize("name", KL)
def test_every_penalty(run_in, tmp_path, name):
    summary = run_in(tmp_path / "run", LORA, *KL[name])
    assert summary["status"] == "finished"
    every = rows(tmp_path / "run")
    assert every[0]["eval/kl/sequence_nats"] == 0.0
    moving = any("moving" in key for row in every for key in row)
    assert moving == (name == "synced")


def test_gpt2_and_a_list_of_targets(run_in, tmp_path, artifacts):
    words = [LORA, "model.architecture=gpt2", "adapter.targets=[c_attn]"]
    summary = run_in(tmp_path / "run", *words, without="model.architecture")
    made = read_json(place_of(artifacts, summary, "sft") / "manifest.json")
    assert made["adapter"]["targets"] == ["c_attn"]
    with pytest.raises(ConfigError, match="no layer of the network is called query; it has down"):
        run_in(tmp_path / "wrong", LORA, "adapter.targets=[query]", "stage=sft")


@pytest.fixture
def given(tmp_path):
    """Settings that take a model of somebody else's, with prompts and pairs of a file."""
    words = outside.bpe()
    model = outside.saved(tmp_path / "model", outside.llama(words), words)
    pairs = outside.rows(tmp_path / "pairs.jsonl", "prompt", "chosen", "rejected")
    return [
        *("data=jsonl", "data.max_response_tokens=6", "data.vocabulary=300"),
        *(f"data.preferences={pairs}", "sft=none", "model=hf", f"model.path={model}"),
    ]


def test_a_network_of_16_bits(run_in, tmp_path, given):
    """Its adapters have 32, the first KL is 0, and it is named by the folder that it came from."""
    own = (f"paths.artifacts={tmp_path / 'own'}", LORA, "model.dtype=bfloat16", *OPTIONS)
    summary = run_in(tmp_path / "run", *given, *own, without=("data.", "model."))
    assert rows(tmp_path / "run")[0]["eval/kl/sequence_nats"] == 0.0
    place = tmp_path / "own" / "ppo" / summary["fingerprints"]["ppo"]
    assert Path(base_of(place).path) == (tmp_path / "model").resolve()
    assert read_json(place / "backbone.json")["dtype"] == "bfloat16"
    assert {t.dtype for t in load_file(weights_file(place)).values()} == {torch.float32}


# --- from outside


def test_adapters_are_taken_from_their_folders(watched, run_in, tmp_path, artifacts):
    summary = run_in(tmp_path / "run", LORA)
    given = [
        f"sft.path={place_of(artifacts, summary, 'sft')}",
        f"reward_model.path={place_of(artifacts, summary, 'reward_model')}",
    ]
    again, seen = watched(tmp_path / "again", LORA, *given)
    assert seen["networks"] == 1
    # the same adapters on the same network: the same run
    assert again["policy_sha256"] == summary["policy_sha256"]
    # without adapters each is merged into a network of its own
    merged, _ = watched(tmp_path / "merged", *given)
    assert not is_adapter(place_of(artifacts, merged, "sft"))
    first = [rows(tmp_path / name)[0] for name in ("run", "merged")]
    assert first[0]["eval/reward/proxy"] == pytest.approx(first[1]["eval/reward/proxy"], abs=1e-3)


def test_a_reward_models_adapter_is_no_policy(run_in, tmp_path, artifacts):
    summary = run_in(tmp_path / "run", LORA, "stage=reward_model")
    sft, scores = (place_of(artifacts, summary, stage) for stage in ("sft", "reward_model"))
    with pytest.raises(ModelError, match="is a reward model's adapter, expected a policy's"):
        run_in(tmp_path / "a", LORA, f"sft.path={scores}")
    with pytest.raises(ModelError, match="is a policy's adapter, expected a reward model's"):
        run_in(tmp_path / "b", LORA, f"reward_model.path={sft}")


# --- resume


def test_a_run_that_was_cut_goes_on_bitwise(run_in, tmp_path, artifacts, stop_at):
    import signal

    from rlhf.rundir.errors import Stopped

    words = [LORA, "kl/reference=synced", "kl.reference.every=2", "kl.coef=0.3"]
    whole = run_in(tmp_path / "whole", *words, "ppo.iterations=5")
    stop_at("ppo", 3, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut", *words, "ppo.iterations=5")
    checkpoint = max((tmp_path / "cut" / "checkpoints").glob("*.ckpt"))
    state = torch.load(checkpoint, weights_only=True)
    assert all("lora_" in name or "scalar_head" in name for name in state["state_dict"])
    assert set(state["rlhf"]["backbones"]) == {"policy", "value_model"}
    assert state["rlhf"]["reference"].keys() and all(
        "lora_" in n for n in state["rlhf"]["reference"]
    )
    cut = run_in(tmp_path / "cut", *words, "ppo.iterations=5")
    assert cut["policy_sha256"] == whole["policy_sha256"]
    both = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert both[0] == both[1]


def test_a_checkpoint_knows_its_network():
    from rlhf.models.networks import check_backbones

    check_backbones({"policy": "a" * 64}, {"policy": "a" * 64})
    check_backbones({}, {})
    with pytest.raises(RunFailed, match="policy was trained beside a network .* aaaaaaaaaaaa; now"):
        check_backbones({"policy": "b" * 64}, {"policy": "a" * 64})
    with pytest.raises(RunFailed, match="sha256 none; now it is bbbbbbbbbbbb"):
        check_backbones({"policy": "b" * 64}, {})


# --- for others


def test_an_adapter_for_others(run_in, tmp_path, monkeypatch, capsys):
    from rlhf.commands.models.export import main

    monkeypatch.chdir(tmp_path)
    run_in(tmp_path / "run", LORA)
    assert main(["run", "--to", "merged"]) == 0
    assert "transformers alone: mean log-probability" in capsys.readouterr().out
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "a LoRA adapter (rank 16, alpha 32, on down_proj" in card and "it is merged into" in card
    assert main(["run", "--to", "adapter", "--adapter"]) == 0
    told = capsys.readouterr().out
    assert "transformers and PEFT alone" in told
    base = read_json(tmp_path / "adapter" / "adapter_config.json")
    place = base["base_model_name_or_path"]
    assert Path(place).is_absolute() and f"its network is the folder {place}, by its place" in told
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert "model.safetensors" not in names
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "library_name: peft" in card and "holds the adapter alone" in card
    assert main(["run", "--what", "reward_model", "--to", "scores"]) == 0
    assert main(["run", "--what", "reward_model", "--adapter", "--to", "other"]) == 2
    assert main(["run", "--adapter", "--dtype", "bfloat16", "--to", "other"]) == 2
    run_in(tmp_path / "whole")
    assert main(["whole", "--adapter", "--to", "other"]) == 2
    assert "holds all weights of the policy and no adapter" in capsys.readouterr().err


def test_a_talk_with_an_adapter(run_in, tmp_path):
    from rlhf.chat.session import open_session
    from rlhf.data.conversations import asked
    from rlhf.export.made import find

    run_in(tmp_path / "run", LORA)
    session = open_session(find(tmp_path / "run"), seed=0)
    policy, reference = (session.engines[side].model for side in ("policy", "reference"))
    assert policy.shared is reference.shared
    (answer,) = session.answer([asked("the movie was")], draw=0)
    assert {"reward/proxy", "reward/gold"} <= answer["policy"].keys(), answer


def test_it_is_made_again(run_in, home, reproduce):
    run_in(home / "run", LORA)
    code, text = reproduce(home / "run")
    assert code == 0, text
    assert "bitwise equal: 4 iterations" in text and "sft and reward_model too" in text, text


def test_plain_peft_reads_what_a_stage_has_left(run_in, tmp_path, artifacts):
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    summary = run_in(tmp_path / "run", LORA, "stage=sft")
    place = place_of(artifacts, summary, "sft")
    moved = tmp_path / "adapter"
    shutil.copytree(place, moved)
    tokenizer = AutoTokenizer.from_pretrained(moved)
    ids = torch.tensor([tokenizer("the movie was", add_special_tokens=False)["input_ids"]])
    models = [
        AutoModelForCausalLM.from_pretrained(moved),
        AutoPeftModelForCausalLM.from_pretrained(moved),
    ]
    from rlhf.models.networks import Networks

    ours = Networks(tokenizer=tokenizer, views=True, share=True).policy(moved)
    with torch.no_grad():
        logits = [model(input_ids=ids).logits for model in (ours, *models)]
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])
