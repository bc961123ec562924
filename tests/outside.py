"""Folders of tiny models as somebody else would have saved them."""

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    LlamaConfig,
)

from rlhf.data.tokenizers import byte_level_bpe
from rlhf.randomness import seeded_global_rng

TEXTS = ["the film was warm and good", "a slow film with an awful plot", "fine jokes and heart"]


def bpe(vocabulary=300, texts=TEXTS):
    return byte_level_bpe(texts, vocabulary)


def llama(tokenizer, positions=256, **more):
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **more,
    )


def gpt2(tokenizer, positions=256, **more):
    return GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=positions,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **more,
    )


def saved(folder: Path, config, tokenizer=None, *, scalar=False, seed=0, dtype=torch.float32):
    """The folder, with random weights of the config and the tokenizer."""
    auto = AutoModelForSequenceClassification if scalar else AutoModelForCausalLM
    with seeded_global_rng(seed, "outside"):
        model = auto.from_config(config)
    model.to(dtype).save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def rows(path: Path, *keys, n=24):
    """A JSONL file of rows with these of prompt, completion, chosen, rejected."""
    import json

    texts = {
        "prompt": "the film {} was",
        "completion": " warm and good {}",
        "chosen": " warm and good {}",
        "rejected": " slow and awful {}",
    }
    lines = [json.dumps({key: texts[key].format(i) for key in keys}) for i in range(n)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
