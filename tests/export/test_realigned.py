"""Mixtures of a policy with its SFT policy, as others load them."""

import json
import re
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf.commands.models.export import main
from rlhf.commands.runs.realign import main as measure
from rlhf.export.decoder import Realign
from rlhf.export.made import find
from rlhf.functional.logprobs import mixture
from rlhf.models.load import load_causal_lm
from rlhf.realign.ready import start_of
from tests.conftest import tiny

RUN = ("ppo.iterations=2", "evaluation.every=2", "ppo.optimizer.lr=5e-3")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return tmp_path_factory.mktemp("realigned")


@pytest.fixture
def run(run_in, ran, monkeypatch, tmp_path):
    if not (ran / "run").exists():
        run_in(ran / "run", *RUN)
    monkeypatch.chdir(tmp_path)
    return ran / "run"


# --- the decoder


@torch.no_grad()
def by_hand(policy, reference, ids, mask, weight):
    """Logits of the mixture after each row, read anew."""
    places = (mask.cumsum(1) - 1).clamp(min=0)
    own = {"input_ids": ids, "attention_mask": mask, "position_ids": places}
    return mixture(reference(**own).logits[:, -1], policy(**own).logits[:, -1], weight)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0, 1.5])
def test_the_decoder_reads_the_reference_with_its_own_cache(tokenizer, architecture, weight):
    policy, reference = (tiny(tokenizer, architecture, seed) for seed in (0, 1))
    ids = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    decoder = Realign(reference, weight, mask)
    for _ in range(4):
        places = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.no_grad():
            scores = policy(input_ids=ids, attention_mask=mask, position_ids=places).logits[:, -1]
        mixed = decoder(ids, scores).log_softmax(-1)
        expected = by_hand(policy, reference, ids, mask, weight).log_softmax(-1)
        assert torch.allclose(mixed, expected, atol=1e-4)
        ids = torch.cat([ids, mixed.argmax(-1)[:, None]], 1)
        mask = torch.cat([mask, torch.ones(2, 1).long()], 1)


def test_the_decoder_begins_anew_with_other_rows(tokenizer):
    policy, reference = (tiny(tokenizer, seed=seed) for seed in (0, 1))
    decoder = Realign(reference, 0.5)
    for ids in (torch.tensor([[3, 4, 5]]), torch.tensor([[6, 7]]), torch.tensor([[6, 8, 3]])):
        scores = policy(input_ids=ids).logits[:, -1]
        expected = by_hand(policy, reference, ids, torch.ones_like(ids), 0.5)
        assert torch.allclose(decoder(ids, scores), expected, atol=1e-4)
    with pytest.raises(ValueError, match="at least 0"):
        Realign(reference, -0.1)


def test_several_sequences_of_a_prompt(tokenizer):
    """As `generate` asks with num_return_sequences: those of a prompt side by side."""
    policy, reference = (tiny(tokenizer, seed=seed) for seed in (0, 1))
    ids, mask = torch.tensor([[0, 5, 6], [7, 8, 9]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
    own = {"attention_mask": mask, "do_sample": False, "max_new_tokens": 3, "eos_token_id": None}
    drawn = [
        policy.generate(
            ids, logits_processor=[Realign(reference, 0.5, mask)], num_beams=beams, **own, **more
        )
        for beams, more in ((1, {}), (2, {"num_return_sequences": 2}))
    ]
    assert [len(x) for x in drawn] == [2, 4]
    scores = policy(input_ids=ids, attention_mask=mask).logits[:, -1]
    single = Realign(reference, 0.5, mask)(ids, scores)
    twice = (x.repeat_interleave(2, dim=0) for x in (ids, scores))
    pairs = Realign(reference, 0.5, mask)(*twice)
    assert torch.allclose(pairs, single.repeat_interleave(2, dim=0), atol=1e-5)


def test_what_the_policy_may_not_draw_is_not_drawn(tokenizer):
    policy, reference = (tiny(tokenizer, seed=seed) for seed in (0, 1))
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        scores = policy(input_ids=ids).logits[:, -1]
    scores[:, 7] = -torch.inf
    for weight in (0.0, 0.5, 2.0):
        mixed = Realign(reference, weight)(ids, scores)
        assert mixed[0, 7] == -torch.inf and torch.isfinite(mixed).sum() == mixed.numel() - 1


# --- the command


@pytest.mark.slow
def test_by_weights_it_is_one_plain_model(run, tmp_path, capsys):
    assert measure([str(run), "--lambda", "0.7", "--by", "weights"]) == 0
    capsys.readouterr()
    assert main([str(run), "--realign", "lambda=0.7", "--to", "merged"]) == 0
    assert "read in a fresh process with transformers alone" in capsys.readouterr().out
    made = find(run)
    start, policy = load_causal_lm(start_of(made)), load_causal_lm(made.folder("policy"))
    mixed = AutoModelForCausalLM.from_pretrained("merged")
    first, last = dict(start.named_parameters()), dict(policy.named_parameters())
    for name, weight in mixed.named_parameters():
        there = 0.3 * first[name] + 0.7 * last[name]
        assert torch.allclose(weight, there[: len(weight)], atol=1e-6)
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "its weights are (1 - λ) SFT + λ policy with λ = 0.7" in card
    assert "measured at λ = 0.7" in card
    assert ran_as_the_card_says(card, tmp_path) == 1


@pytest.mark.slow
def test_by_decoding_it_is_both_models_and_a_decoder(run, tmp_path, capsys):
    command = [str(run), "--realign", "lambda=0.7", "--by", "decoding", "--to", "pair"]
    assert main(command) == 0, capsys.readouterr().err
    assert "greedy tokens of 10 rows as ours" in capsys.readouterr().out
    there = {path.name for path in (tmp_path / "pair").iterdir()}
    assert there == {"README.md", "policy", "reference", "realign.py", "realign.json"}
    assert json.loads((tmp_path / "pair" / "realign.json").read_text()) == {"lambda": 0.7}
    card = (tmp_path / "pair" / "README.md").read_text()
    assert "reference^(1 - λ) policy^λ" in card
    assert ran_as_the_card_says(card, tmp_path) == 1


def ran_as_the_card_says(card, folder):
    """How many snippets the card has, each of which ran."""
    snippets = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    for snippet in snippets:
        process = subprocess.run([sys.executable, "-c", snippet], cwd=folder, check=False)
        assert process.returncode == 0
    return len(snippets)


@pytest.mark.slow
def test_a_decoder_that_draws_others_is_not_written(run, tmp_path, monkeypatch, capsys):
    """It mixes with another lambda than was checked, as a bug in what is written would do."""
    from rlhf.export import directory

    write = directory.add_decoder
    monkeypatch.setattr(directory, "add_decoder", lambda folder, weight: write(folder, 3 * weight))
    command = [str(run), "--realign", "lambda=0.7", "--by", "decoding", "--to", "pair"]
    assert main(command) == 1
    assert "Nothing was exported" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--realign", "beta=0.7"], "expected lambda=0.7"),
        (["--realign", "lambda=-1"], "expected a number of at least 0"),
        (["--realign", "lambda=0.5", "--what", "reward_model"], "began from another"),
        (["--realign", "lambda=0.5", "--adapter"], "leave out --adapter"),
        (["--by", "weights"], "which is not given"),
        (["--realign", "lambda=0.5,0.7"], "expected one lambda"),
    ],
)
def test_what_is_refused(run, words, sentence, tmp_path, capsys):
    assert main([str(run), "--to", "there", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "there").exists()
