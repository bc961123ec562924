"""What torch.compile would save of an update: why there is no setting for it.

    python -m benchmarks.compiled                 # ragged, two minutes; needs a C++ compiler
    python -m benchmarks.compiled --cases quick --turns 20

Forward and backward pass of the policy over ragged minibatches of a case, as updates have them
(packed, attention row by row), by the network as it is and by a copy whose backbone is compiled
with `dynamic=True` and attention left out, in turns. The first pass of the copy is what compiling
costs, its compiler's processes included; the table says after how many iterations (of the case's
steps, policy and value model) that is paid back. inductor's cache is in a folder of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.speed import one_thread
from benchmarks.speed.cases import CASES, Case, length, save_models
from benchmarks.speed.report import machine, middle, ratios, show, table, write_json


def spent() -> float:
    """CPU seconds of this process and of those that it waited for: the compiler's."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def minibatch(case: Case, rng: random.Random) -> tuple[Any, Any, Any]:
    """Tokens, attention and the positions that predict a response: [rows, L] each."""
    import torch

    prompts = [rng.randint(*case.prompts) for _ in range(case.minibatch)]
    answers = [length(rng, case) for _ in prompts]
    width, most = max(prompts), max(answers)
    tokens = torch.randint(case.vocabulary, (case.minibatch, width + most))
    attention = torch.zeros(tokens.shape, dtype=torch.bool)
    keep = attention.clone()
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        attention[row, width - prompt : width + answer] = True
        keep[row, width - 1 : width + answer - 1] = True
    return tokens, attention, keep


def pass_of(model: Any, batch: tuple[Any, Any, Any]) -> tuple[float, float]:
    """Loss, and the seconds that the forward and backward pass took."""
    from rlhf.functional.vocabulary import read
    from rlhf.models.packing.read import logits_at

    tokens, attention, keep = batch
    began = time.process_time()
    logits = logits_at(model, tokens, attention, keep)
    loss = read(logits, tokens.roll(-1, 1)[keep], used_up=True).logp.mean()
    loss.backward()
    took = time.process_time() - began
    model.zero_grad()
    return float(loss.detach()), took


def compare(case: Case, turns: int, folder: Path) -> dict[str, Any]:
    import torch
    from transformers import AttentionInterface, AutoModelForCausalLM

    from rlhf.models.packing import attention

    save_models(case, folder)
    AttentionInterface.register(attention.NAME, torch.compiler.disable(attention.attention))
    plain, compiled = (
        attention.attending(AutoModelForCausalLM.from_pretrained(folder / "policy").eval(), {})
        for _ in range(2)
    )
    compiled.base_model.compile(dynamic=True)
    rng = random.Random(0)
    batch, before = minibatch(case, rng), spent()
    losses = [pass_of(compiled, batch)[0]]
    cost = spent() - before
    losses.append(pass_of(plain, batch)[0])
    for _ in range(3):  # shapes that the first did not have
        pass_of(compiled, minibatch(case, rng))
    rows = []
    for _ in range(turns):
        batch = minibatch(case, rng)
        rows.append([pass_of(model, batch)[1] for model in (plain, compiled)])
    return {"cost": cost, "losses": losses, "seconds": rows, "steps": case.steps}


def show_result(name: str, result: dict[str, Any]) -> None:
    plain, compiled = (list(column) for column in zip(*result["seconds"], strict=True))
    saved = statistics.median(a - b for a, b in zip(plain, compiled, strict=True))
    # the value model's passes save as much, and compile as long
    iterations = result["cost"] / (saved * result["steps"]) if saved > 0 else float("inf")
    titles = ("case", "n", "plain, ms", "compiled, ms", "plain / compiled", "compiling, CPU-s")
    row = [
        *(name, len(plain), middle([1e3 * x for x in plain], 1)),
        *(middle([1e3 * x for x in compiled], 1), middle(ratios(plain, compiled))),
        *(f"{result['cost']:.1f}", f"{iterations:.0f}"),
    ]
    show(table((*titles, "paid back after iterations"), [row]))
    one, other = result["losses"]
    show(f"Losses of the first minibatch: {one:.6f} compiled, {other:.6f} plain.\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["ragged"])
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    one_thread()
    where, results = machine(), {}
    show(where)
    for name in args.cases:
        with TemporaryDirectory() as folder:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "inductor")
            results[name] = compare(CASES[name], args.turns, Path(folder))
        show_result(name, results[name])
        write_json(args.json, where, results)


if __name__ == "__main__":
    main()
