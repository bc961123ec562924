"""What one GPU does with the pipeline: a prepared script of about 10 minutes on an H100.

    python benchmarks/gpu.py                            # on the GPU
    python benchmarks/gpu.py --only resume "1b, LoRA, bf16 backbone"
    python benchmarks/gpu.py --device cpu --toy         # the same at toy size: a minute, no figures

Prints a table in Markdown for each part, as soon as it is there, and keeps it in WORK/results.md; a
part that fails or runs past its limit says so there, its output is in WORK/<part>.log, and the next
one follows. Each part is a process of its own, so that its peak of memory is its own. The models
have random weights (Llama: SmolLM2's shapes, TinyLlama-1.1B's, vocabulary of 49,152), so nothing is
downloaded; their SFT is short, and responses run to their full 64 tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gpu_parts

LORA, MIXED = "model/adapter=lora", "trainer.precision=bf16-mixed"


@dataclass(frozen=True, kw_only=True)
class Part:
    """`run(device, work, toy)` gives the numbers by title."""

    run: Callable[[str, Path, bool], dict[str, str]]
    limit: int  # seconds
    keeps: bool = False  # its files are of use to a later part


def training(size: str, *words: str) -> Part:
    def run(device: str, work: Path, toy: bool) -> dict[str, str]:
        return gpu_parts.train("toy" if toy else size, [*words], device, work)

    return Part(run=run, limit=150)


def readings(device: str, work: Path, toy: bool) -> dict[str, str]:
    whole = work.parent / slug("resume") / "whole" / "outputs" / "default"
    return gpu_parts.readings(next(whole.glob("kl*")), device)


def speed(device: str, work: Path, toy: bool) -> dict[str, str]:
    return gpu_parts.speed("toy" if toy else "1b", device, work)


def steps(device: str, work: Path, toy: bool) -> dict[str, str]:
    return gpu_parts.steps("toy" if toy else "135m", device, work)


# in the order in which they run: what matters most comes first
PARTS = {
    "resume": Part(run=gpu_parts.resume, limit=120, keeps=True),
    "KL by precision (largest difference of a log-probability)": Part(run=readings, limit=60),
    "1b, LoRA, bf16 backbone": training("1b", LORA, "model.dtype=bfloat16"),
    "1b, all weights, bf16-true": training("1b", "trainer.precision=bf16-true"),
    "1b, all weights, bf16-mixed": training("1b", MIXED),
    "1b, LoRA, 4-bit backbone": training("1b", LORA, "model.dtype=4bit", MIXED),
    "1b, all weights, bf16-true, moments in 8 bits": training(
        "1b", "trainer.precision=bf16-true", "optimizer@ppo.optimizer=adamw_8bit"
    ),
    "quickstart": Part(run=gpu_parts.quickstart, limit=120),
    "1b, ms a position, 64 rows, 32 and 256 positions": Part(run=speed, limit=60),
    "135m, ms a position, 64 rows, plain and captured steps": Part(run=steps, limit=120),
    "135m, all weights, bf16-mixed, captured steps": training("135m", MIXED),
    "135m, all weights, bf16-mixed, plain steps": training(
        "135m", MIXED, "generation.graphs=false"
    ),
    "135m, all weights, 32-true": training("135m", "trainer.precision=32-true"),
    "135m, LoRA, 32-true": training("135m", LORA, "trainer.precision=32-true"),
}


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def machine(device: str) -> str:
    import torch
    import transformers

    name = torch.cuda.get_device_name() if device == "gpu" else f"CPU ({platform.machine()})"
    return f"{name}, torch {torch.__version__}, transformers {transformers.__version__}"


def measured(name: str, args: argparse.Namespace) -> dict[str, str]:
    """The part's numbers, from a process of its own; or the reason why there are none."""
    log, limit = args.work / f"{slug(name)}.log", PARTS[name].limit * (10 if args.toy else 1)
    words = ["--part", name, "--device", args.device, "--work", str(args.work)]
    began, code = time.time(), None
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, __file__, *words, *(["--toy"] if args.toy else [])]
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # what it started goes with it
            process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
    if code == 0:
        return {**json.loads(lines[-1]), "took": f"{time.time() - began:.0f} s"}
    why = f"cut off after {limit} s" if code is None else f"exit code {code}"
    return {"not measured": f"{why}: {lines[-1][:200]} ({log})"}


def table(name: str, numbers: dict[str, str]) -> str:
    rows = "".join(f"| {title} | {value} |\n" for title, value in numbers.items())
    return f"| {name} | |\n|---|---|\n{rows}\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--toy", action="store_true", help="small models in place of the real ones")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS], metavar="PART")
    parser.add_argument("--work", type=Path, default=Path("gpu-benchmark"), help="a folder")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.work = args.work.resolve()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if args.part:
        numbers = PARTS[args.part].run(args.device, args.work / slug(args.part), args.toy)
        print(json.dumps(numbers))
        return
    args.work.mkdir(parents=True, exist_ok=True)
    results = args.work / "results.md"
    for text in (f"{machine(args.device)}\n\n", *PARTS):
        if text in PARTS and text not in args.only:
            continue
        shutil.rmtree(args.work / slug(text), ignore_errors=True)
        shown = table(text, measured(text, args)) if text in PARTS else text
        print(shown, end="", flush=True)
        with results.open("a", encoding="utf-8") as file:
            file.write(shown)
        if text in PARTS and not PARTS[text].keeps:
            shutil.rmtree(args.work / slug(text), ignore_errors=True)


if __name__ == "__main__":
    main()
