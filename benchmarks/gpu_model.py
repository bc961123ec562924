"""Models with random weights for benchmarks/gpu.py: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path


def save_model(size: str, folder: Path) -> None:
    """A Llama of this shape with random weights, and a tokenizer of words that fills its
    vocabulary: those of the reviews, then words that no review has."""
    import torch
    from gpu_passes import config_of
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from rlhf.data.sources.reviews import Reviews

    demonstrations = (
        Reviews(
            seed=0,
            demonstrations=4000,
            pairs=100,
            label_temperature=1.0,
            prompts=1024,
            heldout_fraction=0.25,
            max_response_tokens=20,
            on_long_prompt="drop",
        )
        .load()
        .demonstrations
    )
    split = pre_tokenizers.Whitespace()
    words = sorted(
        {
            word
            for row in (*demonstrations.train, *demonstrations.heldout)
            for word, _ in split.pre_tokenize_str(f"{row.prompt} {row.completion}")
        }
    )
    tokens = ["<pad>", "<eos>", "<unk>", *words]
    tokens += [f"word{index}" for index in range(config_of(size).vocab_size - len(tokens))]
    word_level = Tokenizer(
        models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token="<unk>")
    )
    word_level.pre_tokenizer = split
    PreTrainedTokenizerFast(
        tokenizer_object=word_level, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config = config_of(size, max_position_embeddings=2048, **ids)
    LlamaForCausalLM(config).save_pretrained(folder)


def parameters(folder: Path) -> int:
    from safetensors import safe_open

    with safe_open(str(next(folder.glob("*.safetensors"))), "pt") as weights:
        return sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118
