"""The parts of benchmarks/gpu.py: each runs in a process of its own and prints its numbers."""

from __future__ import annotations

import hashlib
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpu_model import parameters, save_model

PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")
SHORT = (
    *("data.demonstrations=400", "data.pairs=270", "data.prompts=256", "sft.epochs=1"),
    *("reward_model.epochs=1", "generation.max_new_tokens=64", "ppo.iterations=4"),
    *("ppo.rollout_size=128", "ppo.minibatch_size=32", "ppo.micro_batch_size=8"),
    *("ppo.optimizer.lr=1e-5", "sft.optimizer.lr=1e-4"),
    *("best_of_n=none", "tracking=none", "callbacks=none"),
)
TOY = (
    *("data.demonstrations=64", "data.pairs=48", "data.prompts=64", "ppo.rollout_size=8"),
    *("ppo.minibatch_size=4", "ppo.micro_batch_size=2", "generation.max_new_tokens=8"),
    *("evaluation.prompts=4", "reward_model.normalize_samples=16"),
)


def peak_gb(device: str) -> float:
    """GB (1e9 bytes) at the most since `forget_peak`: allocated on the GPU, or resident in this
    process (what getrusage says is inherited from the process before)."""
    if device == "gpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def forget_peak(device: str) -> None:
    if device == "gpu":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def train(size: str, words: list[str], device: str, work: Path) -> dict[str, str]:
    """SFT, reward model and a few iterations of PPO: the row of the table."""
    import rlhf

    folder = work.parent / f"model-{size}"
    if not (folder / "config.json").is_file():
        save_model(size, folder)
    toy = TOY if size == "toy" else ()
    settings = [*SHORT, *toy, "model=hf", f"model.path={folder}", f"trainer={device}", *words]
    settings += [f"paths.outputs={work / 'outputs'}", "study=gpu"]
    peaks, summary = list[str](), dict[str, Any]()
    for stage in ("sft", "reward_model", "ppo"):
        forget_peak(device)
        summary = rlhf.run(rlhf.compose([*settings, f"stage={stage}"]))
        peaks.append(f"{peak_gb(device):.1f}")
    run = next((work / "outputs" / "gpu").glob("kl*"))
    rows = jsonl(run / "metrics.jsonl")
    seconds = [row["seconds"] for row in jsonl(run / "timings.jsonl")][2:]
    middle, drawn = statistics.median(seconds), rows[1]["rollout/responses"]
    return {
        "parameters": f"{parameters(folder) / 1e6:.0f}M",
        "SFT, reward model, PPO GB": ", ".join(peaks),
        "s an iteration": f"{middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
        "samples/s": f"{drawn / middle:.1f}",
        "first KL": f"{rows[1]['kl/sequence_nats']:.2g}",
        "last KL": f"{summary['kl/sequence_nats']:.3g}",
        "logp gap": f"{max(row.get('rollout/logp_gap', 0.0) for row in rows):.2g}",
    }


def speed(size: str, device: str, work: Path) -> dict[str, str]:
    """Milliseconds a token position, 64 rows, by precision and length."""
    folder = work.parent / f"model-{size}"
    if not (folder / "config.json").is_file():
        save_model(size, folder)
    lengths = (4, 8) if size == "toy" else (32, 256)
    return {
        precision: ", ".join(f"{token_ms(folder, n, device, precision):.1f}" for n in lengths)
        for precision in PRECISIONS
    }


def steps(size: str, device: str, work: Path) -> dict[str, str]:
    """Milliseconds a token position, 64 rows and 256 positions, by precision: by plain steps, and
    by steps of fixed shapes, captured on a GPU and called on a CPU."""
    folder = work.parent / f"model-{size}"
    if not (folder / "config.json").is_file():
        save_model(size, folder)
    length = 8 if size == "toy" else 256
    return {
        f"{precision}, {name}": f"{token_ms(folder, length, device, precision, fixed=fixed):.1f}"
        for precision in PRECISIONS
        for name, fixed in (("plain", False), ("fixed shapes", True))
    }


def token_ms(
    policy: Path, length: int, device: str, precision: str, *, fixed: bool | None = None
) -> float:
    """Median milliseconds a token position of three draws of 64 responses. `fixed`: by steps of
    fixed shapes, as TorchEngine has it."""
    import torch

    from rlhf.models.load import load_causal_lm
    from rlhf.modules.precision.masters import to_bfloat16
    from rlhf.randomness import generator
    from rlhf.rollout.engines.base import Sampling, Stops
    from rlhf.rollout.engines.torch import TorchEngine

    place = "cuda" if device == "gpu" else "cpu"
    model = load_causal_lm(policy).to(place)
    if precision == "bf16-true":
        to_bfloat16(model)
    prompts = prompts_of([3] * 8, 64).to(place)
    engine = TorchEngine(model, Stops(ids=(1,)), 0, fixed=fixed)
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
    if fixed and engine.graphs.refused:
        raise RuntimeError(engine.graphs.refused)
    return statistics.median(took)


# --- KL by precision, and resume


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def readings(run: Path, device: str) -> dict[str, str]:
    """By device and precision: the mean KL in nats per response of the run's policy from its SFT
    policy, and the largest difference of a token's log-probability from float32 on the CPU."""
    import torch

    from rlhf.models.load import load_causal_lm, load_tokenizer
    from rlhf.models.policy import PolicyReader
    from rlhf.modules.precision.masters import to_bfloat16
    from rlhf.randomness import generator
    from rlhf.rollout.engines.base import Sampling, Stops
    from rlhf.rollout.engines.torch import TorchEngine

    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    reference = run.parents[1] / "artifacts" / "sft" / manifest["fingerprints"]["sft"]
    tokenizer = load_tokenizer(run / "policy")
    prompts = prompts_of(tokenizer("the movie was", add_special_tokens=False)["input_ids"], 256)
    stops = Stops(ids=(tokenizer.eos_token_id,))
    engine = TorchEngine(load_causal_lm(run / "policy"), stops, tokenizer.pad_token_id)
    rollout = engine.respond(prompts, Sampling(max_new_tokens=20), generator(0, "gpu", "kl"))
    exact, cells = None, {}
    for place in ("cpu", "cuda") if device == "gpu" else ("cpu",):
        for precision in PRECISIONS:
            models = [load_causal_lm(folder).to(place) for folder in (run / "policy", reference)]
            if precision == "bf16-true":
                for model in models:
                    to_bfloat16(model)
            readers = [PolicyReader(model=model, temperature=1.0) for model in models]
            with torch.autocast(place, torch.bfloat16, enabled=precision == "bf16-mixed"):
                logp, ref_logp = (reader.logp(rollout.to(place)).cpu() for reader in readers)
            exact = logp if exact is None else exact
            kl = float((logp - ref_logp).double().sum(1).mean())
            gap = float((logp - exact).abs().max())
            cells[f"{place}, {precision}"] = f"{kl:.6f} ({gap:.2g})"
    return cells


def prompts_of(ids: list[int], rows: int) -> Any:
    import torch

    from rlhf.data.conversations import Prompt, asked
    from rlhf.types import PromptBatch

    tokens = torch.tensor([ids]).repeat(rows, 1)
    prompts = (Prompt(turns=asked("")),) * rows
    return PromptBatch(
        tokens=tokens, mask=torch.ones_like(tokens, dtype=torch.bool), prompts=prompts
    )


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


def resume(device: str, work: Path, toy: bool) -> dict[str, str]:
    """A PPO run as it is, made again, and stopped by SIGTERM and finished: exit codes, and whether
    their files are the same bytes."""
    words = [f"trainer={device}", *("tracking=none", "best_of_n=none", "ppo.iterations=12")]
    words += [word for word in TOY if "micro" not in word] if toy else []
    cells, runs = {}, {}
    for name, stops in (("whole", (None,)), ("again", (None,)), ("stopped", (4, None))):
        (work / name).mkdir(parents=True)
        codes = [run_command(work / name, *words, stop_after=stop) for stop in stops]
        runs[name] = next((work / name / "outputs" / "default").glob("kl*"))
        cells[f"exit codes, {name}"] = ", ".join(map(str, codes))
    for file in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors"):
        digests = {n: hashlib.sha256((run / file).read_bytes()).digest() for n, run in runs.items()}
        cells[f"{file}, run twice"] = same(digests["whole"] == digests["again"])
        cells[f"{file}, stopped and resumed"] = same(digests["whole"] == digests["stopped"])
    return cells


def same(equal: bool) -> str:
    return "the same bytes" if equal else "differs"


def quickstart(device: str, work: Path, toy: bool) -> dict[str, str]:
    """The sweep that the README begins with."""
    work.mkdir(parents=True, exist_ok=True)
    small = [*TOY[:4], "ppo.minibatch_size=4", "ppo.iterations=2", "best_of_n=none"] if toy else []
    small += ["kl.coef=0.1,0.3", "generation.max_new_tokens=8"] if toy else []
    began = time.time()
    words = ["experiment=quickstart", f"trainer={device}", "tracking=none", *small]
    code = run_command(work, *words)
    runs = [*work.glob("sweeps/quickstart/*/metrics.jsonl")]
    last = (f"{jsonl(path)[-1]['eval/kl/sequence_nats']:.3g}" for path in sorted(runs))
    return {"exit code": str(code), "s": f"{time.time() - began:.0f}", "KL": ", ".join(last)}
