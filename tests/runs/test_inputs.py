"""Whole runs on other input than the default: any causal LM, a user's files, the sentences of
rt_polarity."""

import gzip
import json
from pathlib import Path

import pytest

from rlhf.models.load import load_tokenizer
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json

WORDS = [
    "a",
    "fine",
    "film",
    "with",
    "warm",
    "heart",
    "and",
    "good",
    "jokes",
    "but",
    "slow",
    "bad",
    "boring",
    "awful",
    "plot",
    "ends",
]


def sentences(n):
    return [
        " ".join(WORDS[(i * 7 + j * (3 + i % 5)) % len(WORDS)] for j in range(6 + i % 4))
        for i in range(n)
    ]


def test_any_causal_lm_directory_is_a_model(run_in, tmp_path):
    """A Hugging Face directory whose pad token is its EOS: trained through all stages, and its
    KL begins at 0."""
    run_in(tmp_path / "from_scratch")
    path = tmp_path / "from_scratch" / "policy"
    tokenizer = load_tokenizer(path)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(path)
    summary = run_in(tmp_path / "run", "model=hf", f"model.path={path}", without="model.")
    assert load_tokenizer(tmp_path / "run" / "policy").pad_token == tokenizer.eos_token
    first = read_jsonl(tmp_path / "run" / "metrics.jsonl")[1]
    assert abs(first["kl/sequence_nats"]) < 1e-5
    assert summary["status"] == "finished" and summary["response/length"] > 0


def test_a_users_files(run_in, tmp_path):
    """Demonstrations as plain text, pairs gzipped, no gold: the proxy alone is reported."""
    with (tmp_path / "demos.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in sentences(60))
    with gzip.open(tmp_path / "pairs.jsonl.gz", "wt") as file:
        file.writelines(
            json.dumps({"prompt": f"a {w}", "chosen": " good", "rejected": f" bad {w}"}) + "\n"
            for w in WORDS
        )
    summary = run_in(
        tmp_path / "run",
        "data=jsonl",
        f"data.demonstrations={tmp_path}/demos.jsonl",
        f"data.preferences={tmp_path}/pairs.jsonl.gz",
        "data.vocabulary=300",
        "data.max_response_tokens=8",
        "data.heldout_fraction=0.2",
        without="data.",
    )
    assert "reward/proxy" in summary and "reward/gold" not in summary


def test_pairs_sampled_from_the_policy_and_labelled_by_gold(run_in, tmp_path):
    with (tmp_path / "demos.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in sentences(60))
    common = [
        "data=jsonl",
        f"data.demonstrations={tmp_path}/demos.jsonl",
        "data.gold=vader",
        "data.vocabulary=300",
        "data.pairs=60",
        "data.max_response_tokens=8",
        "data.heldout_fraction=0.2",
    ]
    one = run_in(tmp_path / "a", *common, without="data.")
    assert {"reward/proxy", "reward/gold"} <= set(one)
    two = run_in(tmp_path / "b", *common, "data.label_temperature=3.0", without="data.")
    assert one["fingerprints"]["sft"] == two["fingerprints"]["sft"]
    assert one["fingerprints"]["reward_model"] != two["fingerprints"]["reward_model"]


def test_pairs_that_gold_never_tells_apart(run_in, tmp_path):
    """No word of the texts means anything to VADER."""
    with (tmp_path / "demos.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"text": f"so {a} and {b}"}) + "\n" for a in "abc" for b in "xyz"
        )
    with pytest.raises(RunFailed, match="both responses of all 4 pairs are the same"):
        run_in(
            tmp_path / "run",
            "data=jsonl",
            f"data.demonstrations={tmp_path}/demos.jsonl",
            "data.gold=vader",
            "data.vocabulary=280",
            "data.pairs=4",
            "data.max_response_tokens=4",
            "data.heldout_fraction=0.3",
            without="data.",
        )


RT = [
    "data=rt_polarity",
    "data.prompts=30",
    "data.pairs=40",
    "data.vocabulary=300",
    "data.max_response_tokens=8",
]


def check_rt(summary):
    """Gold and the second judge, each with its standard error, for the policy and for SFT."""
    for name in ("reward/gold", "reward/classifier", "sft/reward/gold", "sft/reward/classifier"):
        assert name in summary and f"{name}_se" in summary


def test_the_two_files_of_the_original_distribution(run_in, tmp_path):
    for name, side in (
        ("rt-polarity.pos", "good fine warm"),
        ("rt-polarity.neg", "bad awful boring"),
    ):
        (tmp_path / name).write_text(
            "".join(f"{side} {text} caf\u00e9\n" for text in sentences(60)), encoding="latin-1"
        )
    check_rt(run_in(tmp_path / "run", *RT, f"data.path={tmp_path}", without="data."))


def test_the_real_sentences(run_in, tmp_path):
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "rt_polarity"
    if not path.is_dir():
        pytest.skip("the sentences of rt_polarity are not beside the project")
    summary = run_in(
        tmp_path / "run",
        *RT,
        f"data.path={path}",
        "sft.epochs=1",
        "sft.batch_size=256",
        "sft.max_length=24",
        "data.max_lost=1",  # nearly all are longer
        "data.pairs=400",  # of a policy that has hardly learnt: most have no word that VADER knows
        without="data.",
    )
    check_rt(summary)
    rows = read_json(tmp_path / "run" / "manifest.json")["fingerprints"]
    assert set(rows) == {"data", "sft", "reward_model"}
