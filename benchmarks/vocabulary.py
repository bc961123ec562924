"""What a vocabulary of 128,256 costs: copies of the logits that are alive at a time, time, and what
`rlhf doctor` says of it.

    python -m benchmarks.vocabulary                     # a minute or two, 4 GB
    python -m benchmarks.vocabulary --vocabulary 32000 --rows 16 --json FILE

A Llama of 2 layers, 64 wide, so that the vocabulary decides. `copies` runs PPO as users do, all
rows in one pass, and takes what is resident at the most (VmHWM) while a rollout is scored and while
a minibatch is descended, less what was there before and the gradients of all weights, in units of
one float32 copy of [rows, T, V]. Blocks that the allocator keeps count too. `doctor` runs the
default settings of `model=hf`, one iteration, beside their estimate. Each is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.speed import one_thread
from benchmarks.speed.cases import CASES, Case, save_models, save_rows
from benchmarks.speed.children import result_of
from benchmarks.speed.peaks import Peaks
from benchmarks.speed.report import machine, middle, show, table, write_json

CLOCK = "+callbacks.clock._target_=benchmarks.speed.peaks.Peaks"


def case_of(args: argparse.Namespace) -> Case:
    return replace(
        CASES["quick"],
        vocabulary=args.vocabulary,
        prompts=(8, 8),
        response=args.tokens,
        hazard=0.0,
        rows=args.rows,
        minibatch=args.rows,
        epochs=1,
    )


def copies(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import rlhf
    from benchmarks.speed import ours
    from rlhf.config.allow import allow

    case = case_of(args)
    save_models(case, folder)
    save_rows(case, folder, case.rows)
    allow("benchmarks")
    words = [word for word in ours.ppo_words(case, folder, args.turns + 1) if word != ours.CLOCK]
    rlhf.run(rlhf.compose([*words, CLOCK]))
    logits = 4 * case.rows * case.response * case.vocabulary
    return {"logits": logits, "iterations": Peaks.iterations[1:]}


def doctor(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The default settings of a pretrained model, measured and estimated."""
    from benchmarks.memory.stage import QUIET, cell

    case = case_of(args)
    save_models(case, folder)
    save_rows(case, folder, 80)
    words = [
        *("model=hf", f"model.path={folder / 'policy'}", "sft=none", *QUIET),
        *(f"reward_model.path={folder / 'reward'}", f"paths.outputs={folder / 'outputs'}"),
        *("data=files", "data.template=plain", f"data.prompts={folder / 'prompts.jsonl'}"),
        *("ppo.iterations=1", f"evaluation.prompts={args.heldout}", *args.overrides),
    ]
    return cell("ppo", words)


PARTS = {"copies": copies, "doctor": doctor}


def show_copies(result: dict[str, Any]) -> None:
    size, gradients = result["logits"], result["iterations"][0]["gradients"]
    kinds = {
        "scoring a rollout": ([each["scoring"] for each in result["iterations"]], 0),
        "a minibatch": ([u for each in result["iterations"] for u in each["updates"]], gradients),
    }
    rows = []
    for name, (numbers, less) in kinds.items():
        most = [number["bytes"] for number in numbers]
        rows.append(
            [
                *(name, len(numbers), middle([number["seconds"] for number in numbers])),
                *(middle([x / 1e6 for x in most], 0), f"{less / 1e6:.0f}"),
                middle([(x - less) / size for x in most]),
            ]
        )
    show(f"One float32 copy of [rows, T, V] has {size / 1e6:.0f} MB.\n")
    titles = ("phase", "n", "CPU-s", "peak above before, MB", "gradients among it, MB")
    show(table((*titles, "copies of [rows, T, V]"), rows))


def show_doctor(result: dict[str, Any]) -> None:
    measured, estimated = result["measured"] / 1e9, result["estimated"] / 1e9
    titles = ("`model=hf`, default settings", "measured", "`rlhf doctor`", "estimated / measured")
    row = ("PPO, one iteration", f"{measured:.2f} GB", f"{estimated:.2f} GB")
    show(table(titles, [[*row, f"{estimated / measured:.2f}"]]))


SHOWS = {"copies": show_copies, "doctor": show_doctor}


def main() -> None:
    args = parser().parse_args()
    one_thread()
    if args.child:
        print(json.dumps(PARTS[args.parts[0]](args, args.child)))
        return
    where = machine()
    shape = f"{args.rows} rows of {args.tokens} tokens, vocabulary {args.vocabulary:,}"
    show(f"{where}\n\n{shape}\n")
    results = {}
    for part in args.parts:
        with tempfile.TemporaryDirectory() as folder:
            words = ["--parts", part, "--child", folder, "--turns", str(args.turns)]
            for name in ("vocabulary", "rows", "tokens", "heldout"):
                words += [f"--{name}", str(getattr(args, name))]
            results[part] = result_of("benchmarks.vocabulary", [*words, *args.overrides])
        SHOWS[part](results[part])
        write_json(args.json, where, results)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    whole.add_argument("--vocabulary", type=int, default=128_256)
    whole.add_argument("--rows", type=int, default=8)
    whole.add_argument("--tokens", type=int, default=64)
    whole.add_argument("--heldout", type=int, default=16, help="prompts of the evaluation")
    whole.add_argument("--turns", type=int, default=3, help="iterations; one more goes before")
    whole.add_argument("--json", type=Path)
    whole.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    whole.add_argument("overrides", nargs="*", help="added to the settings of `doctor`")
    return whole


if __name__ == "__main__":
    main()
