"""The settings of memory in whole runs: what they limit, and that they change nothing else."""

import json
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import PreTrainedModel

LIMITED = [
    *("sft.micro_batch_size=4", "reward_model.micro_batch_tokens=24", "ppo.micro_batch_size=2"),
    *("generation.micro_batch_size=3", "trainer.gradient_checkpointing=true"),
    "model.attention=eager",
]


@contextmanager
def watched():
    """The most rows of a forward pass, and the attention of every network that had one."""
    rows, attention = [], set()

    def hook(module, given):
        if isinstance(module, nn.Embedding) and given[0].ndim == 2:
            rows.append(len(given[0]))
        if isinstance(module, PreTrainedModel):
            attention.add(module.config._attn_implementation)

    handle = register_module_forward_pre_hook(hook)
    try:
        yield rows, attention
    finally:
        handle.remove()


def metrics(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_run_within_limits_is_the_same_run(run_in, tmp_path):
    """Five rows of the probe are the most that any network reads at once; responses, scores and KL
    are those of the run without limits."""
    whole, limited = tmp_path / "whole", tmp_path / "limited"
    with watched() as (rows, attention):
        run_in(whole, f"paths.artifacts={whole / 'artifacts'}")
    assert max(rows) > 5 and attention == {"rows"}
    with watched() as (rows, attention):
        run_in(limited, f"paths.artifacts={limited / 'artifacts'}", *LIMITED)
    assert max(rows) == 5 and attention == {"eager"}
    for one, other in zip(metrics(whole), metrics(limited), strict=True):
        assert one.keys() == other.keys()
        own = {k: v for k, v in one.items() if v is not None}
        assert {k: other[k] for k in own} == pytest.approx(own, rel=2e-3, abs=2e-3, nan_ok=True)
    texts = [
        [(row["prompt"], row["response"]) for row in map(json.loads, file.read_text().splitlines())]
        for file in (whole / "samples.jsonl", limited / "samples.jsonl")
    ]
    assert texts[0] == texts[1]
    config = json.loads((limited / "policy" / "config.json").read_text())
    assert not any("attn" in key or "attention_impl" in key for key in config if "bias" not in key)


def test_attention_is_the_networks_and_no_part_of_what_is_saved(tokenizer, tmp_path):
    from rlhf.models.load import TinyModel, load_causal_lm, scalar_model_from

    sizes = {"architecture": "llama", "hidden_size": 16, "layers": 1, "heads": 2, "seed": 0}
    piece = TinyModel(**sizes, attention="eager")
    model = piece.causal_lm(tokenizer)
    assert model.config._attn_implementation == "eager"
    assert scalar_model_from(model, seed=0).model.config._attn_implementation == "eager"
    piece.save(model, tokenizer, tmp_path)
    assert "eager" not in (tmp_path / "config.json").read_text()
    chosen = load_causal_lm(tmp_path)
    assert chosen.config._attn_implementation == "rows"
    again = load_causal_lm(tmp_path, attn_implementation="eager")
    assert again.config._attn_implementation == "eager"
    ids = torch.tensor([[3, 4, 5]])
    assert torch.allclose(chosen(input_ids=ids).logits, again(input_ids=ids).logits, atol=1e-5)
    # weights that eager attention trained are others in their last digits
    assert TinyModel(**sizes).identity() == sizes
    assert piece.identity() == {**sizes, "attention": "eager"}
