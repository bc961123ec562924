"""How long one decoding step and one update take on a GPU, by cache and by layout.

    python benchmarks/gpu_passes.py                # on the GPU, three sizes
    python benchmarks/gpu_passes.py --device cpu   # at toy size

Llamas with random weights in the shapes of SmolLM2-135M, SmolLM2-360M and TinyLlama-1.1B,
vocabulary 49,152. Decoding: 64 rows, bfloat16 weights, one token. A graph is captured once and
replayed. Update: forward and backward of the log-probabilities of 32 rows of 16 to 136 tokens,
float32 weights under bfloat16 autocast, padded to the longest, or packed in one row with attention
row by row (SDPA) or as one variable-length kernel. Medians of 5 (decoding: 20) after a warm-up,
with the smallest and the largest, in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AttentionInterface,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    StaticCache,
)

SIZES = {  # hidden size, intermediate size, layers, heads, key-value heads, vocabulary
    "toy": (64, 192, 2, 4, 2, 512),
    "135m": (576, 1536, 30, 9, 3, 49_152),
    "360m": (960, 2560, 32, 15, 5, 49_152),
    "1b": (2048, 5632, 22, 32, 4, 49_152),
}
ROWS, SLOTS, FILLED = 64, 320, 256


def config_of(size: str, **more: Any) -> LlamaConfig:
    hidden, inner, layers, heads, kv_heads, vocabulary = SIZES[size]
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        tie_word_embeddings=True,
        **more,
    )


def model_of(size: str, dtype: torch.dtype, device: str) -> LlamaForCausalLM:
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(config_of(size))
    return model.to(dtype).eval()


def timed(run: Callable[[], Any], device: str, turns: int) -> str:
    took = []
    for turn in range(turns + 3):
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        if turn >= 3:
            took.append(1000 * (time.perf_counter() - began))
    return f"{statistics.median(took):.1f} ({min(took):.1f} to {max(took):.1f})"


# --- decoding


@torch.no_grad()
def decoding(size: str, device: str) -> Iterator[tuple[str, str]]:
    dtype = torch.bfloat16
    model = model_of(size, dtype, device)
    vocabulary = model.config.vocab_size
    prompt = torch.randint(3, vocabulary, (ROWS, FILLED), device=device)
    token = prompt[:, :1].contiguous()

    def forward(cache: Any, tokens: Tensor, **kwargs: Any) -> Tensor:
        out = model(
            input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1, **kwargs
        )
        logits: Tensor = out.logits
        return logits

    growing = DynamicCache(config=model.config)
    forward(growing, prompt)
    yield "DynamicCache", timed(lambda: forward(growing, token), device, 20)
    fixed = StaticCache(config=model.config, max_cache_len=SLOTS)
    forward(fixed, prompt)
    # tensors that are made once: a captured graph reads them where they are
    position = torch.full((ROWS, 1), FILLED, device=device)
    mask = torch.zeros(ROWS, 1, 1, SLOTS, dtype=dtype, device=device)

    def step() -> Tensor:
        return forward(fixed, token, position_ids=position, attention_mask=mask)

    def rewind() -> None:  # each call fills one slot more; the buffer must not overflow
        for layer in fixed.layers:
            layer.cumulative_length.fill_(FILLED)

    yield "StaticCache", timed(lambda: (rewind(), step()), device, 20)
    if device == "cuda":
        rewind()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        yield "StaticCache, captured", timed(lambda: (rewind(), graph.replay()), device, 20)


# --- updates


def row_by_row(
    module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, *, rows: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of a packed sequence [1, H, N, D], each row by itself."""
    parts = zip(*(x.split(rows, dim=2) for x in (q, k, v)), strict=True)
    out = [F.scaled_dot_product_attention(*part, is_causal=True, enable_gqa=True) for part in parts]
    return torch.cat(out, dim=2).transpose(1, 2).contiguous(), None


def one_kernel(
    module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, *, rows: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    """The same as one kernel, in bfloat16."""
    from torch.nn.attention.varlen import varlen_attn

    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
    q, k, v = (x[0].transpose(0, 1).bfloat16().contiguous() for x in (q, k, v))
    ends = torch.tensor([0, *rows], device=q.device).cumsum(0).int()
    out = varlen_attn(q, k, v, ends, ends, max(rows), max(rows), window_size=(-1, 0))
    return out.unsqueeze(0), None


AttentionInterface.register("row_by_row", row_by_row)
AttentionInterface.register("one_kernel", one_kernel)


def updating(size: str, device: str) -> Iterator[tuple[str, str]]:
    model = model_of(size, torch.float32, device)
    torch.manual_seed(1)
    lengths = torch.randint(16, 137, (32,))
    rows, longest = lengths.tolist(), int(lengths.max())
    mask = (torch.arange(longest) < lengths[:, None]).to(device)
    tokens = torch.randint(3, model.config.vocab_size, mask.shape, device=device)

    def update(tokens: Tensor, **kwargs: Any) -> None:
        model.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            logits = model(input_ids=tokens, use_cache=False, **kwargs).logits
        logits = logits.float()
        chosen = logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        (chosen - logits.logsumexp(dim=-1)).sum().backward()

    def measured(*arguments: Any, **kwargs: Any) -> str:
        if device == "cpu":
            return timed(lambda: update(*arguments, **kwargs), device, 5)
        torch.cuda.reset_peak_memory_stats()
        ms = timed(lambda: update(*arguments, **kwargs), device, 5)
        return f"{ms}, {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"

    yield "padded", measured(tokens, attention_mask=mask.long())
    packed = {
        "position_ids": torch.cat([torch.arange(n) for n in rows])[None].to(device),
        "attention_mask": torch.empty(1, 1, 1, 0, device=device),  # no mask of blocks is built
        "rows": rows,
    }
    for kind in ("row_by_row", "one_kernel") if device == "cuda" else ("row_by_row",):
        model.set_attn_implementation(kind)
        yield f"packed, {kind.replace('_', ' ')}", measured(tokens[mask][None], **packed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--sizes", nargs="*", choices=SIZES)
    args = parser.parse_args()
    cpu = args.device == "cpu"
    name = "the CPU" if cpu else torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}\n\n| model | what | ms |\n|---|---|---|")
    for size in args.sizes or (["toy"] if cpu else ["135m", "360m", "1b"]):
        for title, measure in (("decoding step", decoding), ("update", updating)):
            for kind, ms in measure(size, args.device):
                print(f"| {size} | {title}, {kind} | {ms} |", flush=True)


if __name__ == "__main__":
    main()
