import json

import pytest
import yaml

from rlhf.export import facts
from rlhf.export.card import card
from rlhf.export.made import find
from rlhf.export.realigned import Realigned
from rlhf.rundir.secrets import redact
from tests.export.test_made import artifact, model_in, write

PRINTS = {"sft": "aaaa", "reward_model": "bbbb", "ppo": "cccc"}


def config(base, coef=0.1):
    return {
        "seed": 1,
        "sweep": "budget",
        "paths": {"artifacts": "outputs/artifacts"},
        "data": {
            "_target_": "rlhf.data.sources.jsonl.JsonLines",
            "license": "CC-BY-4.0",
            "source": "https://me:pw@example.org/rows",
        },
        "model": {"_target_": "rlhf.models.load.HFModel", "path": str(base), "revision": None},
        "kl": {"coef": coef, "controller": {"_target_": "rlhf.kl.controller.Fixed"}},
        "generation": {"max_new_tokens": 8, "temperature": 0.7, "stop": []},
    }


@pytest.fixture
def point(tmp_path):
    """The second of a sweep's two points, on a base model with a README of its own."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\nbase_model: org/Base-1B\n---\nx\n")
    sweep = tmp_path / "sweeps" / "budget"
    names, coefs = ("kl0.02", "kl0.1"), (0.02, 0.1)
    words = [["model=hf", f"kl.coef={coef}", "hub.token=s3cr3t"] for coef in coefs]
    jobs = [{"name": n, "overrides": w} for n, w in zip(names, words, strict=True)]
    write(sweep, sweep={"overrides": ["model=hf", "hub.token=s3cr3t"], "jobs": jobs})
    for name, coef in zip(names, coefs, strict=True):
        write(
            sweep / name,
            manifest={
                "kind": "run",
                "stage": "ppo",
                "config": config(base, coef),
                "versions": {"torch": "2.13.0"},
                "git": {"revision": "0123456789abcdef"},
                "data": {"prompts": {"rows": 5, "sha256": "d" * 64}},
            },
            summary={
                "stage": "ppo",
                "fingerprints": PRINTS,
                "kl/sequence_nats": 10 * coef,
                "kl/sequence_nats_se": 0.05,
                "reward/proxy": 1 + coef,
                "reward/proxy_se": 0.25,
                "sft/reward/proxy": 0.125,
                "sft/reward/proxy_se": 0.5,
                "kl.coef_final": coef,
                "warnings": ["a | b"],
            },
        )
        model_in(sweep / name / "policy")
    metrics = {"val/accuracy": 0.75, "val/pairs": 40, "score_std": 1.5}
    root = tmp_path / "outputs"
    artifact(root, "reward_model", "bbbb", metrics=metrics, config=config(base), fingerprints={})
    artifact(root, "sft", "aaaa", metrics={"val/perplexity": 17.5}, config=config(base))
    return sweep / "kl0.1"


def front(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_front_matter_is_what_the_hub_reads(point):
    assert front(card(find(point), "policy", name="me/mine")) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "base_model": "org/Base-1B",
        "datasets": ["files"],
        "tags": ["rlhf", "ppo", "kl-regularised"],
    }


def test_a_policy_tells_its_lineage_its_kl_its_rewards_and_its_place(point):
    text = card(find(point), "policy", name="me/mine")
    for line in (
        "KL spent: **1.000 ± 0.050 nats per response**",
        "| reward/proxy | 1.10 ± 0.25 | 0.12 ± 0.50 |",
        "| model | base | licence: apache-2.0 |",
        "| SFT | `aaaa` | perplexity 17.5 on held-out rows |",
        "| reward model | `bbbb` | accuracy 75.0% of 40 held-out pairs |",
        "| PPO | `cccc` |  |",
        "It is the point kl.coef=0.1, seed 1, of the sweep budget of 2.",
        "| kl.coef=0.02 | 1 | 0.200 ± 0.050 | 1.02 ± 0.25 |",
        "| **kl.coef=0.1** (this) | 1 | 1.000 ± 0.050 | 1.10 ± 0.25 |",
        "| files | https://***@example.org/rows | CC-BY-4.0 |",
        "| prompts | 5 | `dddddddddddddddd` |",
        "rlhf reproduce sweeps/budget/kl0.1\n",
        "- a \\| b\n",
        "torch 2.13.0; code revision `0123456789ab`.",
        'AutoModelForCausalLM.from_pretrained("me/mine")',
    ):
        assert line in text, line


@pytest.mark.parametrize(
    ("target", "name", "coef", "held", "learned"),
    [
        ("rlhf.modules.algorithms.best_of_n.BestOfN", "best_of_n", 0.0, False, False),
        ("rlhf.modules.algorithms.dpo.DPOModule", "dpo", 0.1, True, True),
        ("rlhf.modules.algorithms.quark.Quark", "quark", 0.1, True, False),
    ],
)
def test_a_policy_says_what_trained_it_and_on_which_data(point, target, name, coef, held, learned):
    manifest = json.loads((point / "manifest.json").read_text())
    manifest["config"] |= {"algorithm": {"_target_": target}}
    manifest["config"]["kl"]["coef"] = coef
    manifest["data"]["preferences"] = {"rows": 7, "sha256": "e" * 64}
    (point / "manifest.json").write_text(json.dumps(manifest))
    summary = json.loads((point / "summary.json").read_text()) | {"kl.coef_final": coef}
    del summary["fingerprints"]["reward_model"]  # it had scores of another kind
    (point / "summary.json").write_text(json.dumps(summary))
    text = card(find(point), "policy", name="me/mine")
    tags = ["rlhf", name.replace("_", "-"), *(["kl-regularised"] if held else [])]
    assert front(text)["tags"] == tags
    way = "under a KL penalty to" if held else "from"
    assert f"A policy trained with `algorithm={name}` {way} its SFT policy." in text
    assert f"| {name} | `cccc` |" in text and "PPO" not in text
    assert ("| preferences | 7 |" in text) == learned


def test_no_secret_and_no_folder_of_this_machine(point, tmp_path, monkeypatch):
    monkeypatch.setattr(redact, "_known", {"dddddddddd"})  # as a token of the environment is
    text = card(find(point), "policy", name="mine")
    for word in ("s3cr3t", "me:pw", str(tmp_path), "dddddddddd"):
        assert word not in text
    assert "hub.token=***" in text


def test_a_reward_model_says_how_its_score_is_read(point):
    text = card(find(point), "reward_model", name="rm")
    assert front(text)["pipeline_tag"] == "text-classification"
    assert "`logit - config.score_mean`" in text
    assert "sigmoid(1.5 * (score of a - score of b))" in text
    assert "It ranks 75.0 % of 40 held-out pairs" in text


def test_what_nobody_declared_is_not_made_up(point):
    manifest = json.loads((point / "manifest.json").read_text())
    manifest["config"]["data"] = {"_target_": "rlhf.data.sources.reviews.Reviews"}
    manifest["config"]["model"] = {"_target_": "rlhf.models.load.TinyModel", "layers": 2}
    write(point, manifest=manifest)
    text = card(find(point), "policy", name="mine")
    assert front(text)["license"] == "unknown" and "base_model" not in front(text)
    assert "| reviews | not declared | not declared |" in text
    assert "random weights (layers 2)" in text


def test_a_policy_that_was_given_is_what_everything_began_from(point, tmp_path):
    """Its folder's README tells licence and base; nobody here learned from demonstrations."""
    given = tmp_path / "mine" / "policy"
    given.mkdir(parents=True)
    (given / "README.md").write_text("---\nlicense: mit\nbase_model: org/Other\n---\nx\n")
    manifest = json.loads((point / "manifest.json").read_text())
    manifest["config"]["sft"] = {"path": str(given)}
    row = {"rows": 5, "sha256": "d" * 64}
    manifest["data"] = dict.fromkeys(("demonstrations", "preferences", "prompts"), row)
    write(point, manifest=manifest)
    text = card(find(point), "policy", name="mine")
    assert (front(text)["license"], front(text)["base_model"]) == ("mit", "org/Other")
    assert "Started from mine." in text and "| model | mine | licence: mit |" in text
    assert "| SFT | `aaaa` (given: mine) |" in text
    assert "| demonstrations |" not in text
    assert "| preferences | 5 |" in text and "| prompts | 5 |" in text
    manifest["config"]["sft"] = {"path": None, "train": False}
    write(point, manifest=manifest)
    text = card(find(point), "policy", name="mine")
    assert "| SFT | `aaaa` (none: the model as it is) |" in text


def test_parts_of_the_data_that_no_stage_learned_from_are_left_out(point):
    """A reward by rules needs no pairs."""
    manifest = json.loads((point / "manifest.json").read_text())
    summary = json.loads((point / "summary.json").read_text())
    row = {"rows": 5, "sha256": "d" * 64}
    manifest["data"] = dict.fromkeys(("demonstrations", "preferences", "prompts"), row)
    del summary["fingerprints"]["reward_model"]
    write(point, manifest=manifest, summary=summary)
    names = [part["name"] for part in facts.data_parts(find(point))]
    assert names == ["demonstrations", "prompts"]


def test_sampling_is_what_generation_config_has(point):
    manifest = json.loads((point / "manifest.json").read_text())
    manifest["config"]["generation"]["max_prompt_tokens"] = None
    write(point, manifest=manifest)
    text = card(find(point), "policy", name="mine")
    assert "the sampling of the run (temperature 0.7, max_new_tokens 8)" in text


def test_a_number_and_its_error():
    assert facts.with_error({"a": 0.12345, "a_se": 0.0456}, "a") == "0.123 ± 0.046"
    assert facts.with_error({"a": 2}, "a") == "2" and facts.with_error({}, "a") == ""


def test_a_pair_on_a_hub_is_fetched_before_its_decoder_is_imported(point):
    mixed = Realigned(weight=0.7, by="decoding")
    text = card(find(point), "policy", name="me/mine", realigned=mixed)
    assert 'folder = snapshot_download("me/mine")\nsys.path.insert(0, folder)' in text
    here = card(find(point), "policy", name="mine", realigned=mixed)
    assert 'folder = "mine"\nsys.path.insert(0, folder)' in here and "snapshot" not in here
