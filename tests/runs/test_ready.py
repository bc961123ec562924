"""Faults of model and data are found before anything is trained; lengths are one rule for all
stages."""

import json
import logging

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM

from rlhf.config.validate import ConfigError
from rlhf.data.records import DataError
from rlhf.data.tokenizers import word_level
from rlhf.rundir.errors import ModelError
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json
from rlhf.runs.ready import length_faults

POSITIONS, RESPONSE = 12, 4
LONG = "good film with a slow plot and bad jokes"  # 9 tokens: 12 - 4 leave 8
SHORT = ["good", "bad", "slow", "warm", "fine", "a film", "a plot", "the jokes", "with heart"]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def gpt2(folder, tokenizer, rows=None):
    config = GPT2Config(
        **{"n_positions": POSITIONS, "n_embd": 16, "n_layer": 1, "n_head": 2},
        vocab_size=rows or len(tokenizer),
        **{"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None},
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def words():
    return word_level([f"a {LONG}", *SHORT, "yes no"])


@pytest.fixture
def go(run_in, tmp_path, words):
    """go(override, ...) -> summary: a run on a model of 12 positions; one prompt of PPO, in line
    10, is too long."""
    path = gpt2(tmp_path / "model", words)
    rows = [{"prompt": p, "completion": f" {c}"} for p in SHORT for c in ("yes", "no")]
    pairs = [{"prompt": p, "chosen": " yes", "rejected": " no"} for p in SHORT]
    files = {
        "demonstrations": write(tmp_path / "d.jsonl", rows),
        "preferences": write(tmp_path / "p.jsonl", pairs),
        "prompts": write(tmp_path / "q.jsonl", [{"prompt": p} for p in (*SHORT, LONG)]),
    }

    def run(*overrides, where="run"):
        return run_in(
            tmp_path / where,
            "data=jsonl",
            *(f"data.{name}={file}" for name, file in files.items()),
            f"data.max_response_tokens={RESPONSE}",
            "data.heldout_fraction=0.3",
            "model=hf",
            f"model.path={path}",
            "sft.max_length=12",
            "reward_model.max_length=12",
            "data.max_lost=0.2",
            *overrides,
            without=("model.", "data."),
        )

    return run


def test_one_length_rule_a_long_prompt_is_left_out_counted_and_named(go, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        summary = go()
    assert f"and are left out ({tmp_path}/q.jsonl:10)" in caplog.text
    assert (summary["prompts_dropped"], summary["prompts_truncated"]) == (1, 0)
    assert read_json(tmp_path / "run" / "manifest.json")["prompts_dropped"] == 1
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert rows[0]["eval/kl/sequence_nats"] == 0 and rows[0]["eval/kl/sequence_nats_exact"] == 0
    assert abs(rows[1]["kl/sequence_nats"]) < 1e-4  # of the sampler's numbers, to rounding
    assert all(row["rollout/logp_gap"] < 1e-4 for row in rows[1:])


def test_one_length_rule_its_end_is_read(go):
    summary = go("data.on_long_prompt=truncate_left")
    assert (summary["prompts_dropped"], summary["prompts_truncated"]) == (0, 1)


def test_one_length_rule_refuses_before_anything_is_trained(go, tmp_path):
    store = tmp_path / "store"
    with pytest.raises(DataError, match=r"q.jsonl:10: a prompt longer than the 8 tokens"):
        go("data.on_long_prompt=error", f"paths.artifacts={store}")
    assert not store.exists()
    assert read_json(tmp_path / "run" / "status.json")["exit_code"] == 2


def test_what_the_reward_model_reads_after_a_response_has_room_too(go, tmp_path):
    """12 positions less 4 of the response, one of the word that this template closes with, and one
    of the stop token that a response gets that a string has ended."""
    (tmp_path / "closing.jinja").write_text(
        "{%- for turn in messages -%}{{- turn.content -}}"
        "{%- if turn.role == 'assistant' -%}{{- eos_token ~ ' good' -}}{%- endif -%}{%- endfor -%}"
    )
    lines = ("data.on_long_prompt=error", f"data.template={tmp_path}/closing.jinja")
    with pytest.raises(DataError, match=r"a prompt longer than the 7 tokens"):
        go(*lines, where="one")
    with pytest.raises(DataError, match=r"a prompt longer than the 6 tokens"):
        go(*lines, "generation.stop=[plot]", where="two")


def test_prompts_have_a_limit_of_their_own(go, tmp_path, caplog):
    """Of ten prompts five have two tokens or more; the model would read 8."""
    with caplog.at_level(logging.WARNING):
        summary = go("generation.max_prompt_tokens=1", "data.max_lost=1")
    assert "5 of 10 prompts are longer than generation.max_prompt_tokens=1" in caplog.text
    assert summary["prompts_dropped"] == 5
    with pytest.raises(ModelError, match="set generation.max_prompt_tokens=8, or null for"):
        go("generation.max_prompt_tokens=9", where="wide")


# --- a run that would lose too much


def test_a_run_that_loses_too_much_is_refused_before_anything_is_trained(go, tmp_path, capsys):
    """Of 18 rows of SFT, of 3 or 4 tokens with the answer and EOS, 8 do not fit 3."""
    store = tmp_path / "store"
    with pytest.raises(DataError) as refusal:
        go("sft.max_length=3", f"paths.artifacts={store}")
    (fault,) = refusal.value.faults
    assert fault.startswith("sft: 44.4% of its demonstrations do not fit sft.max_length=3")
    assert "Set sft.max_length=4; or allow it: data.max_lost=1" in fault
    assert not store.exists()
    assert read_json(tmp_path / "run" / "status.json")["exit_code"] == 2
    report = read_json(tmp_path / "run" / "data_report.json")
    assert [limit["lost_share"] for limit in report["limits"]] == [8 / 18, 0.0, 0.1]
    assert (
        "data: cut, shortened or left out: sft 44.4% of sft.max_length=3" in capsys.readouterr().err
    )


def test_too_many_long_prompts_are_refused_too(go):
    with pytest.raises(DataError, match=r"^ppo: 10.0% of its prompts do not fit the 8 tokens that"):
        go("data.max_lost=0.05")


def test_a_run_that_may_lose_it_goes_on_and_has_the_report(go, tmp_path):
    assert go("sft.max_length=3", "data.max_lost=1")["status"] == "finished"
    report = read_json(tmp_path / "run" / "data_report.json")
    assert [part["name"] for part in report["parts"]] == [
        "demonstrations",
        "preferences",
        "prompts",
    ]
    assert set(report["both_sides"].values()) == {0}


def test_the_share_that_is_allowed_decides_nothing(go, tmp_path):
    """The same run, the same artifacts."""
    first, second = (
        go("stage=sft", f"data.max_lost={share}", where=f"run{share}") for share in (0.2, 1)
    )
    assert first["fingerprints"] == second["fingerprints"]
    assert first["config_hash"] == second["config_hash"]


def test_a_side_that_loses_all_its_rows_is_refused(go):
    """One prompt of two words is held out, and its rows are dropped."""
    with pytest.raises(DataError, match=r"^of 2 held-out rows none .* \(the shortest has 4\)"):
        go(
            *("stage=sft", "sft.max_length=3", "sft.on_long=drop", "data.max_lost=1"),
            "data.heldout_fraction=0.01",
        )


@pytest.mark.parametrize(
    ("policy", "counts"),
    [
        ("cut", {"rows_cut": 6, "rows_dropped": 0, "prompts_truncated": 0}),
        ("drop", {"rows_cut": 0, "rows_dropped": 6, "prompts_truncated": 0}),
        ("truncate_left", {"rows_cut": 0, "rows_dropped": 0, "prompts_truncated": 6}),
    ],
)
def test_length_policies_of_a_stage(go, policy, counts):
    """Every row whose prompt has two words is one token too long at 3: two of each of four prompts,
    of which one is held out."""
    summary = go(
        *("stage=sft", "sft.max_length=3", f"sft.on_long={policy}", "data.max_lost=1"),
        where=policy,
    )
    assert {name: summary[name] for name in counts} == counts


def test_error_names_each_row_by_file_and_line(go, tmp_path):
    with pytest.raises(DataError) as refusal:
        go("sft.max_length=3", "sft.on_long=error")
    assert {fault.split(": ")[0] for fault in refusal.value.faults} == {
        f"{tmp_path}/d.jsonl:{line}" for line in range(11, 19)
    }
    assert "its 4 tokens are more than sft.max_length=3" in refusal.value.faults[0]
    with pytest.raises(DataError, match=r"p.jsonl:6: its 4 tokens .* reward_model.max_length=3"):
        go("reward_model.max_length=3", "reward_model.on_long=error")


def test_one_length_rule_of_the_config(go):
    with pytest.raises(ModelError) as refusal:
        go("sft.max_length=13", "reward_model.max_length=14", "data.max_response_tokens=12")
    assert [fault.split(":")[0] for fault in refusal.value.faults] == [
        "sft.max_length=13 is more than the model's 12 positions",
        "reward_model.max_length=14 is more than the model's 12 positions",
        "generation.max_new_tokens=12 leaves no room for a prompt in the model's 12 positions",
    ]


def test_without_a_limit_every_length_is_right():
    assert length_faults(None, {"sft", "reward_model", "ppo"}, None) == []


def test_a_tokenizer_that_is_larger_than_the_model(go, tmp_path, words):
    path = gpt2(tmp_path / "small", words, rows=len(words) - 1)
    with pytest.raises(ModelError, match="outside the model"):
        go(f"model.path={path}")
    words.add_special_tokens({"pad_token": "[PAD]"})
    path = gpt2(tmp_path / "padless", words, rows=len(words) - 1)
    with pytest.raises(ModelError, match=r"the pad token \[PAD\] has the id"):
        go(f"model.path={path}")


def test_a_head_that_is_larger_than_the_tokenizer(go, tmp_path, words):
    """Its ids without text are masked: sampling, training and reference stay one distribution."""
    go(f"model.path={gpt2(tmp_path / 'wide', words, rows=len(words) + 40)}")
    start, first = read_jsonl(tmp_path / "run" / "metrics.jsonl")[:2]
    assert first["rollout/logp_gap"] < 1e-4 and abs(first["kl/sequence_nats"]) < 1e-4
    assert start["eval/kl/sequence_nats"] == 0


def mamba(folder, tokenizer):
    config = MambaConfig(
        **{"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
        vocab_size=len(tokenizer),
        **{"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None},
    )
    model = MambaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.ndim > 1 else None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"model.path={folder}"


def test_sampler_is_policy_or_nothing_is_trained(go, tmp_path, words):
    """A model that cannot be sampled is refused before SFT; SFT alone may train it."""
    store, path = tmp_path / "store", mamba(tmp_path / "mamba", words)
    with pytest.raises(ModelError, match=r"type mamba draw .* by up to [\d.]+ nats"):
        go(path, f"paths.artifacts={store}")
    assert not [*store.rglob("model.safetensors")]
    assert go(path, "stage=sft", where="alone")["status"] == "finished"


class Refuses:
    """A scorer of one's own whose constructor has a rule of its own."""

    needs_reward_model = needs_gold = False

    def __init__(self, weight):
        raise ValueError(f"weight={weight} is not a weight")


def test_what_a_scorer_of_ones_own_refuses(go, tmp_path, monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")
    store = tmp_path / "store"
    with pytest.raises(ConfigError, match="weight=3 is not a weight"):
        go(
            "~scorer",
            "+scorer={_target_: tests.runs.test_ready.Refuses, weight: 3}",
            f"paths.artifacts={store}",
        )
    assert not store.exists()


def test_an_oracle_that_could_not_list_the_responses(go, tmp_path):
    """Four tokens of some twenty words: more than a million responses."""
    store = tmp_path / "store"
    with pytest.raises(
        ConfigError, match=r"callbacks\.oracle=oracle: responses of up to 4 tokens out of"
    ):
        go("callbacks=oracle", f"paths.artifacts={store}")
    assert not store.exists()
