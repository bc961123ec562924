"""What one GPU does with the pipeline as it is: memory, seconds, KL by precision, exact resume.

    python benchmarks/gpu.py                       # on the GPU: 135m and 360m
    python benchmarks/gpu.py --device cpu --sizes toy --work /tmp/gpu

Three tables in Markdown. The models have random weights in the shape of SmolLM2 (Llama, vocabulary
of 49,152), so nothing is downloaded; their SFT is short and responses run to their full 64 tokens.
Each size and precision is a process of its own, so that its peak of memory is its own.

- Stages: peak memory, and seconds an iteration after the first (median, smallest and largest).
- Generation: milliseconds a token position, 64 rows, 32 and 256 positions.
- KL: one trained policy and its reference, the same responses, read in each precision.
- Resume: a run stopped by SIGTERM and finished, beside the same run uninterrupted, by its files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SIZES = ("toy", "135m", "360m")
PRECISIONS = ("32-true", "bf16-mixed")
SMALL = (
    *("data.demonstrations=400", "data.pairs=270", "data.prompts=256", "sft.epochs=1"),
    *("reward_model.epochs=1", "generation.max_new_tokens=64", "ppo.iterations=4"),
    *("ppo.minibatch_size=32", "ppo.optimizer.lr=1e-5", "sft.optimizer.lr=1e-4"),
    *("best_of_n=none", "tracking=none", "callbacks=none"),
)


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


# --- one size and precision, in a process of its own


def peak_gb(device: str) -> float:
    """GB (1e9 bytes) at the most: allocated on the GPU, or resident in the process."""
    if device == "gpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(size: str, precision: str, device: str, work: Path) -> dict[str, Any]:
    import torch

    import rlhf

    folder = work / f"model-{size}"
    if not folder.is_dir():
        save_model(size, folder)
    settings = [
        *SMALL,
        *(
            "model=hf",
            f"model.path={folder}",
            f"trainer={device}",
            f"trainer.precision={precision}",
        ),
        *(
            f"trainer.precision={precision}",
            f"paths.outputs={work / 'outputs'}",
            f"study={size}-{precision}",
        ),
    ]
    peaks, summary = {}, {}
    for stage in ("sft", "reward_model", "ppo"):
        if device == "gpu":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        summary = rlhf.run(rlhf.compose([*settings, f"stage={stage}"]))
        peaks[stage] = peak_gb(device)
    run = next((work / "outputs" / f"{size}-{precision}").glob("kl*"))
    rows = jsonl(run / "metrics.jsonl")
    seconds = [row["seconds"] for row in jsonl(run / "timings.jsonl")][2:]
    return {
        "parameters": parameters(folder),
        "peaks": peaks,
        "seconds": seconds,
        "first_kl": rows[1]["kl/sequence_nats"],
        "logp_gap": max(row.get("rollout/logp_gap", 0.0) for row in rows),
        "kl": summary["kl/sequence_nats"],
        "generation": {n: token_ms(run / "policy", n, device, precision) for n in (32, 256)},
    }


def parameters(folder: Path) -> int:
    from safetensors import safe_open

    with safe_open(str(next(folder.glob("*.safetensors"))), "pt") as weights:
        return sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118


def token_ms(policy: Path, length: int, device: str, precision: str) -> float:
    """Median milliseconds a token position of three draws of 64 responses."""
    import torch

    from rlhf.models.load import load_causal_lm
    from rlhf.randomness import generator
    from rlhf.rollout.engines.base import Sampling
    from rlhf.rollout.engines.torch import TorchEngine
    from rlhf.types import PromptBatch

    place = "cuda" if device == "gpu" else "cpu"
    model = load_causal_lm(policy).to(place)
    prompts = PromptBatch(
        tokens=torch.full((64, 8), 3, device=place),
        mask=torch.ones(64, 8, dtype=torch.bool, device=place),
        texts=("",) * 64,
    )
    engine = TorchEngine(model, eos=1, pad=0)
    took = []
    for turn in range(3 if device == "gpu" else 1):
        if device == "gpu":
            torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.autocast(place, torch.bfloat16, enabled=precision == "bf16-mixed"):
            rollout = engine.respond(
                prompts, Sampling(max_new_tokens=length), generator(0, "gpu", turn, device=place)
            )
        if device == "gpu":
            torch.cuda.synchronize()
        took.append(1000 * (time.perf_counter() - began) / rollout.tokens.shape[1])
    return statistics.median(took)


# --- KL by precision, and resume


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def kl_rows(run: Path, device: str) -> Iterable[tuple[str, float, float]]:
    """(device and precision, mean KL in nats per response, the largest difference of a token's
    log-probability from float32 on the CPU) of the run's policy from the SFT policy."""
    import torch

    from rlhf.models.load import load_causal_lm, load_tokenizer
    from rlhf.models.policy import PolicyReader
    from rlhf.randomness import generator
    from rlhf.rollout.engines.base import Sampling
    from rlhf.rollout.engines.torch import TorchEngine
    from rlhf.types import PromptBatch

    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    reference = run.parents[1] / "artifacts" / "sft" / manifest["fingerprints"]["sft"]
    tokenizer = load_tokenizer(run / "policy")
    policy, sft = (load_causal_lm(folder) for folder in (run / "policy", reference))
    first = tokenizer("the movie was", add_special_tokens=False)["input_ids"]
    prompts = PromptBatch(
        tokens=torch.tensor([first]).repeat(256, 1),
        mask=torch.ones(256, len(first), dtype=torch.bool),
        texts=("",) * 256,
    )
    engine = TorchEngine(policy, tokenizer.eos_token_id, tokenizer.pad_token_id)
    rollout = engine.respond(prompts, Sampling(max_new_tokens=20), generator(0, "gpu", "kl"))
    exact = None
    for place in ("cpu", "cuda") if device == "gpu" else ("cpu",):
        for precision in PRECISIONS:
            readers = [
                PolicyReader(model=model.to(place), temperature=1.0, rows=64)
                for model in (policy, sft)
            ]
            with torch.autocast(place, torch.bfloat16, enabled=precision == "bf16-mixed"):
                logp, ref_logp = (reader.logp(rollout.to(place)).cpu() for reader in readers)
            exact = logp if exact is None else exact
            kl = float((logp - ref_logp).double().sum(1).mean())
            yield f"{place}, {precision}", kl, float((logp - exact).abs().max())


def run_command(work: Path, *words: str, stop_after: int | None = None) -> int:
    """The exit code of `rlhf *words`; SIGTERM is sent when so many iterations are recorded."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rlhf", *words], cwd=work, stdout=subprocess.DEVNULL
    )
    while process.poll() is None:
        time.sleep(0.05)
        rows = [len(jsonl(path)) for path in work.glob("outputs/default/*/metrics.jsonl")]
        if stop_after is not None and rows and max(rows) > stop_after:
            process.send_signal(signal.SIGTERM)
            stop_after = None
    return process.returncode


def resume_rows(device: str, work: Path) -> Iterable[tuple[str, str]]:
    words = (f"trainer={device}", *("tracking=none", "best_of_n=none", "ppo.iterations=12"))
    runs = {}
    for name, stops in (("whole", (None,)), ("again", (None,)), ("stopped", (4, None))):
        (work / name).mkdir(parents=True)
        codes = [run_command(work / name, *words, stop_after=stop) for stop in stops]
        runs[name] = next((work / name / "outputs" / "default").glob("kl*"))
        yield f"exit codes, {name}", ", ".join(map(str, codes))
    for file in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors"):
        digests = {n: hashlib.sha256((run / file).read_bytes()).digest() for n, run in runs.items()}
        yield f"{file}, run twice", same(digests["whole"] == digests["again"])
        yield f"{file}, stopped and resumed", same(digests["whole"] == digests["stopped"])


def same(equal: bool) -> str:
    return "the same bytes" if equal else "differs"


# --- tables


def table(titles: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    lines = [list(map(str, titles))]
    print(f"| {' | '.join(lines[0])} |\n|{'---|' * len(lines[0])}", flush=True)
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    print(flush=True)


def machine(device: str) -> str:
    import torch
    import transformers

    name = torch.cuda.get_device_name() if device == "gpu" else f"CPU ({platform.machine()})"
    return f"{name}, torch {torch.__version__}, transformers {transformers.__version__}"


def cells(sizes: Iterable[str], device: str, work: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """The measurements of each size and precision; one that failed says so on stderr."""
    for size in sizes:
        for precision in PRECISIONS:
            words = ["--cell", size, precision, "--device", device, "--work", str(work)]
            ended = subprocess.run(
                [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=False
            )
            if ended.returncode:
                print(f"{size} {precision}: exit code {ended.returncode}", file=sys.stderr)
            else:
                yield f"{size}, {precision}", json.loads(ended.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=["135m", "360m"])
    parser.add_argument("--work", type=Path, default=Path("gpu-benchmark"), help="an empty folder")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if args.cell:
        print(json.dumps(measure(*args.cell, args.device, work)))
        return
    print(f"{machine(args.device)}\n", flush=True)
    table(("resume", ""), resume_rows(args.device, work / "resume"))
    run = next((work / "resume" / "whole" / "outputs" / "default").glob("kl*"))
    table(
        ("read in", "KL, nats per response", "largest difference of a log-probability"),
        ((name, f"{kl:.6f}", f"{gap:.2g}") for name, kl, gap in kl_rows(run, args.device)),
    )
    titles = ("model", "parameters", "SFT GB", "reward model GB", "PPO GB", "s an iteration")
    titles += ("first KL", "rollout/logp_gap", "ms a position, 32", "256")
    table(
        titles,
        (
            (
                *(name, f"{cell['parameters'] / 1e6:.0f}M"),
                *(f"{gb:.1f}" for gb in cell["peaks"].values()),
                f"{statistics.median(cell['seconds']):.2f}"
                f" ({min(cell['seconds']):.2f} to {max(cell['seconds']):.2f})",
                *(f"{cell['first_kl']:.2g}", f"{cell['logp_gap']:.2g}"),
                *(f"{ms:.1f}" for ms in cell["generation"].values()),
            )
            for name, cell in cells(args.sizes, args.device, work)
        ),
    )


if __name__ == "__main__":
    main()
