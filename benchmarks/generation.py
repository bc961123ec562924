"""Milliseconds of a step of generation against the length of responses, beside `generate`.

    python -m benchmarks.generation                    # 32, 64, 128 and 256 tokens: some minutes
    python -m benchmarks.generation --lengths 32 256 --turns 3 --json FILE
    python -m benchmarks.generation --with generation.engine=hf    # and with other settings

64 prompts of 8 to 32 tokens, a Llama of 4 layers, 256 wide, vocabulary 2,048. Full: no response
ends before its length. Ragged: each ends at every token with probability 8 / (3 * length), so that
half are shorter than about a quarter of it. A step's time is that of the whole draw over the steps
of its longest response. Ours is the engine of a run's config, log-probabilities included;
transformers' `generate` draws tokens alone (top-k off, temperature 1). Process CPU seconds of one
thread, the sides in turns.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.speed import one_thread
from benchmarks.speed.cases import CASES, Case, save_models, save_rows
from benchmarks.speed.report import machine, middle, ratios, show, table, write_json

Draw = Callable[[int], int]  # the steps of turn i


def case_of(kind: str, length: int, size: str) -> Case:
    hazard = 8 / (3 * length) if kind == "ragged" else 0.0
    return replace(CASES[size], response=length, hazard=hazard)


def engine(case: Case, folder: Path, words: list[str]) -> Draw:
    """The engine of a run's config, as a stage gets it."""
    import rlhf
    from benchmarks.speed.ours import ppo_words
    from rlhf.config.allow import allow
    from rlhf.config.build import build
    from rlhf.config.validate import validate
    from rlhf.data.collate import collate_prompts
    from rlhf.data.records import Loaded
    from rlhf.models.load import load_causal_lm
    from rlhf.randomness import generator
    from rlhf.stages.context import StageContext

    allow("benchmarks")
    cfg = validate(rlhf.compose([*ppo_words(case, folder, 1), *words]))
    loaded = Loaded.of(build(cfg.data))._asdict()
    context = StageContext(cfg=cfg, **loaded, run_directory=folder / "run")
    prompts = context.fitted.prompts.train[: case.rows]
    batch = collate_prompts(context.rendering, prompts, context.fitted.limit)
    ours = context.engine(load_causal_lm(folder / "policy").eval())

    def draw(turn: int) -> int:
        rollout = ours.respond(batch, context.sampling, generator(turn, "speed", "draw"))
        return int(rollout.tokens.shape[1])

    return draw


def peer(case: Case, folder: Path) -> Draw:
    """transformers' `generate` on the same prompts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from benchmarks.speed.cases import training_rows

    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    texts = [row["prompt"] for row in training_rows(folder, "prompts")][: case.rows]
    batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    model = AutoModelForCausalLM.from_pretrained(folder / "policy").eval()

    def draw(turn: int) -> int:
        torch.manual_seed(turn)
        drawn = model.generate(
            **batch, do_sample=True, top_k=0, max_new_tokens=case.response, temperature=1.0
        )
        return int(drawn.shape[1] - batch.input_ids.shape[1])

    return draw


def measured(case: Case, folder: Path, turns: int, variants: list[str]) -> dict[str, list[float]]:
    """By side: milliseconds a step of each turn; one turn goes before."""
    from benchmarks.speed.clock import now

    save_models(case, folder)
    save_rows(case, folder, case.rows)
    sides = {"generate": peer(case, folder), "ours": engine(case, folder, [])}
    sides |= {f"ours, {word}": engine(case, folder, [word]) for word in variants}
    took: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(turns + 1):
        for side, draw in sides.items():
            began = now()
            steps = draw(turn)
            took[side].append(1000 * (now() - began) / steps)
    return {side: times[1:] for side, times in took.items()}


def main() -> None:
    args = parser().parse_args()
    one_thread()
    import torch

    torch.set_num_threads(1)
    where = machine()
    show(f"{where}\n")
    results: list[dict[str, Any]] = []
    for kind in args.kinds:
        for length in args.lengths:
            with tempfile.TemporaryDirectory() as folder:
                case = case_of(kind, length, args.size)
                sides = measured(case, Path(folder), args.turns, args.variants)
            results.append({"kind": kind, "length": length, "sides": sides})
            write_json(args.json, where, results)
    show_results(results)


def show_results(results: list[dict[str, Any]]) -> None:
    names = [*results[0]["sides"]]
    titles = ["responses", "tokens", "n", *(f"{name}, ms a step" for name in names)]
    rows = []
    for result in results:
        sides = result["sides"]
        times = [middle(each, 1) for each in sides.values()]
        faster = [middle(ratios(sides["generate"], sides[name])) for name in names[1:]]
        rows.append([result["kind"], result["length"], len(sides["ours"]), *times, *faster])
    show(table([*titles, *(f"generate / {name}" for name in names[1:])], rows))
    for kind in dict.fromkeys(result["kind"] for result in results):
        same = [result for result in results if result["kind"] == kind]
        first, last = same[0], same[-1]
        factors = {n: middle_of(last, n) / middle_of(first, n) for n in names}
        texts = ", ".join(f"{factor:.2f} ({name})" for name, factor in factors.items())
        show(f"- {kind}: a step at {last['length']} over one at {first['length']}: {texts}")
        for before, after in itertools.pairwise(same):
            texts = ", ".join(f"{further(before, after, n):.1f} ms ({n})" for n in names)
            show(f"- {kind}: a step from {before['length']} to {after['length']}: {texts}")


def middle_of(result: dict[str, Any], side: str) -> float:
    return statistics.median(result["sides"][side])


def further(before: dict[str, Any], after: dict[str, Any], side: str) -> float:
    """Milliseconds of one of the steps that the longer responses have more."""
    whole = [each["length"] * middle_of(each, side) for each in (before, after)]
    return (whole[1] - whole[0]) / (after["length"] - before["length"])


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--kinds", nargs="+", choices=("full", "ragged"), default=["full", "ragged"])
    whole.add_argument("--lengths", nargs="+", type=int, default=[32, 64, 128, 256])
    whole.add_argument("--turns", type=int, default=5, help="that count; one more goes before")
    whole.add_argument("--size", choices=CASES, default="ragged", help="the model's")
    whole.add_argument("--with", dest="variants", nargs="+", default=[], metavar="KEY=VALUE")
    whole.add_argument("--json", type=Path)
    return whole


if __name__ == "__main__":
    main()
