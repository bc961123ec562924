"""The product beside TRL at equal work: PPO beside TRL 1.12.0, the last release with a PPOTrainer,
SFT and reward model beside the newest one.

    python -m benchmarks.vs_trl --install       # TRL into folders of its own, then all: 15 minutes
    python -m benchmarks.vs_trl --parts ppo --cases ragged --turns 5
    python -m benchmarks.vs_trl --parts memory sft --trl-ppo DIR --trl DIR --json FILE
    python -m benchmarks.vs_trl --parts ppo memory --cases 135m 1b      # on a GPU

TRL is no dependency: `--install` puts the two releases into `--trl-ppo` and `--trl`, each by

    pip install --no-deps --target DIR trl==1.12.0 datasets dill multiprocess xxhash httpx

**PPO.** Both sides have the same weights of policy, reference, value and reward model, the same
prompts, 64 responses an iteration (on a GPU 128), 4 epochs of 4 minibatches (16 optimizer steps),
one pass a minibatch, float32 (on a GPU rows of one length bf16-mixed), temperature 1, the same
rates and coefficients. Ours is `rlhf.run` with Lightning, records, progress and MLflow on; TRL is
its PPOTrainer, which logs to the screen alone.
Ours clips gradients and TRL does not; neither evaluates nor saves in the iterations that count.
Each draws with random numbers of its own: the tables say how many tokens. Start-up and the first
iteration are left out.

TRL calls `gc.collect()` twice an iteration. Its time is measured without them ("without gc"), and
the two calls are timed after it in the same process and added ("with gc").

**SFT, reward model.** The same rows, 16 a step, an epoch of each mode of TRL a turn; the ratio is
to the best of its modes. Evaluations are left out.

**Memory.** The peak of each side's PPO in a process of its own: VmHWM, imports among it, or what
was allocated on the GPU.

Time is process CPU seconds of one thread, or seconds where a case is for a GPU; iterations of both
sides take turns in one process, so each ratio is of neighbours. A part without its TRL says so and
is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks.speed import one_thread
from benchmarks.speed.cases import CASES
from benchmarks.speed.children import result_of
from benchmarks.speed.report import PRODUCTS, machine, middle, ratios, show, table, write_json

PPO_RELEASE, RELEASE = "1.12.0", "1.16.0"
BESIDE = ("datasets", "dill", "multiprocess", "xxhash", "httpx")  # what TRL imports
SIDES = ("trl", "ours")
PARTS = {  # with the cases that they have where none is asked for
    "ppo": ("ragged", "full", "quick", "quickstart"),
    "memory": ("ragged", "full"),
    "sft": ("ragged", "full"),
    "reward_model": ("ragged",),
}
Result = dict[str, Any]


def install(folder: Path, release: str) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, f"trl=={release}", *BESIDE], check=True)


def in_child(part: str, case: str, args: argparse.Namespace, work: Path) -> Result:
    """The numbers of one part, from a process of its own."""
    words = ["--parts", part, "--cases", case, "--turns", str(args.turns), "--child", str(work)]
    words += ["--trl-ppo", str(args.trl_ppo.resolve()), "--trl", str(args.trl.resolve())]
    words += ["--words", *args.words]
    return result_of("benchmarks.vs_trl", words)


def child(part: str, case: str, args: argparse.Namespace) -> Result:
    one_thread()
    from benchmarks.speed import sides

    if part == "ppo":
        return sides.ppo(case, args.child, args.turns, args.trl_ppo, args.words)
    if part in ("ours", "trl"):
        return dict(sides.memory(part, case, args.child, args.trl_ppo, args.words))
    return sides.supervised(part, case, args.child, args.turns, args.trl, args.words)


# --- PPO


def column(units: Iterable[Mapping[str, float]], name: str) -> list[float]:
    return [unit[name] for unit in units]


def phases(units: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    whole, drawing, update = (column(units, n) for n in ("total", "generation", "update"))
    rest = [a - b - c for a, b, c in zip(whole, drawing, update, strict=True)]
    return {"all": whole, "generation": drawing, "update": update, "all else": rest}


def ppo_row(name: str, result: Result) -> list[str]:
    mine, theirs = column(result["ours"], "total"), column(result["trl"], "total")
    collect = column(result["trl"], "collect")
    with_gc = [a + b for a, b in zip(theirs, collect, strict=True)]
    tokens = " / ".join(
        f"{statistics.mean(column(result[side], 'tokens')):.0f}" for side in ("trl", "ours")
    )
    return [
        *(name, str(len(mine)), middle(theirs), middle(collect), middle(mine)),
        *(middle(ratios(theirs, mine)), middle(ratios(with_gc, mine)), tokens),
    ]


def device_of(cases: Iterable[str]) -> str:
    """That of the cases, which have one."""
    return next((CASES[case].device for case in cases), "cpu")


def unit(results: Mapping[str, Result]) -> str:
    return "s" if device_of(results) == "cuda" else "CPU-s"


def show_ppo(results: Mapping[str, Result]) -> None:
    s = unit(results)
    titles = ("case", "n", f"TRL 1.12.0 without gc, {s}", f"its two gc, {s}", f"ours, {s}")
    titles += ("TRL / ours without gc", "with gc", "tokens drawn, TRL / ours")
    show("PPO, an iteration (median, range):\n")
    show(table(titles, (ppo_row(name, result) for name, result in results.items())))
    show("By phase:\n")
    rows = []
    for name, result in results.items():
        mine, theirs = phases(result["ours"]), phases(result["trl"])
        for phase in ("generation", "update", "all else"):
            pair = theirs[phase], mine[phase]
            rows.append([name, phase, *map(middle, pair), middle(ratios(*pair))])
    show(table(("case", "phase", f"TRL without gc, {s}", f"ours, {s}", "TRL / ours"), rows))
    show("What the processor allows, of an update on real tokens:\n")
    rows = []
    for name, result in results.items():
        rate = max(result["gflops"])
        update = column(result["ours"], "update")
        floor = [flops / rate / 1e9 for flops in result["update_flops"]]
        rows.append(
            [
                *(name, f"{rate:.0f}", middle(floor), middle(update)),
                middle(ratios(floor, update)),
            ]
        )
    products = PRODUCTS[device_of(results)]
    titles = ("case", f"{products}, GFLOP/s", f"its operations at that rate, {s}")
    show(table((*titles, f"measured, {s}", "share"), rows))
    for name, result in results.items():
        show(f"- {name}: {result['case']}; {result['rows']} rows, {result['steps']} steps")
    show("")


# --- SFT, reward model, memory


def show_supervised(stage: str, results: Mapping[str, Result]) -> None:
    rows = []
    for name, result in results.items():
        mine = column(result["ours"], "training")
        theirs = {mode: column(units, "training") for mode, units in result["trl"].items()}
        best = min(theirs, key=lambda mode: statistics.median(theirs[mode]))
        others = "; ".join(f"{mode} {middle(times)}" for mode, times in theirs.items())
        rows.append(
            [name, len(mine), others, middle(mine), best, middle(ratios(theirs[best], mine))]
        )
    show(f"{stage}, an epoch (median, range):\n")
    s = unit(results)
    titles = ("case", "n", f"TRL {RELEASE} by mode, {s}", f"ours, {s}", "best mode")
    show(table((*titles, "best / ours"), rows))


def show_memory(results: Mapping[str, Result]) -> None:
    rows = []
    for name, result in results.items():
        mine, theirs = result["ours"], result["trl"]
        sizes = [f"{side[key] / 1e6:.0f}" for key in ("peak", "before") for side in (theirs, mine)]
        rows.append([name, *sizes, f"{mine['peak'] / theirs['peak']:.2f}"])
    kind = "resident" if unit(results) == "CPU-s" else "allocated on the GPU"
    show(f"Memory of PPO, MB {kind}, each in a process of its own (n = 1):\n")
    titles = ("case", "TRL, peak", "ours, peak", "TRL, before training", "ours, before training")
    show(table((*titles, "peak, ours / TRL"), rows))


def measured(part: str, args: argparse.Namespace, work: Path) -> dict[str, Result]:
    cases = args.cases or PARTS[part]
    if part != "memory":
        return {case: in_child(part, case, args, work / f"{part}-{case}") for case in cases}
    return {
        case: {side: in_child(side, case, args, work / f"{side}-{case}") for side in SIDES}
        for case in cases
    }


def main() -> None:
    words = parser()
    args = words.parse_args()
    if len({CASES[case].device for case in args.cases or ()}) > 1:
        words.error("--cases: some are for a CPU, others for a GPU; expected those of one of them")
    if args.child:
        (part,), (case,) = args.parts, args.cases
        with redirect_stdout(sys.stderr):  # what the sides say on the screen
            result = child(part, case, args)
        print(json.dumps(result))
        return
    one_thread()
    if args.install:
        install(args.trl_ppo, PPO_RELEASE)
        install(args.trl, RELEASE)
    trl = f"TRL {PPO_RELEASE} (PPO) and {RELEASE} (SFT, reward model)"
    where = machine(trl, device=device_of(args.cases or ()))
    show(f"{where}\n")
    showing: dict[str, Callable[[dict[str, Result]], None]] = {
        "ppo": show_ppo,
        "memory": show_memory,
        "sft": lambda results: show_supervised("SFT", results),
        "reward_model": lambda results: show_supervised("Reward model", results),
    }
    results: dict[str, dict[str, Result]] = {}
    with tempfile.TemporaryDirectory() as work:
        for part in args.parts:
            trl = args.trl_ppo if part in ("ppo", "memory") else args.trl
            if not (trl / "trl").is_dir():
                show(f"{part}: not measured, there is no TRL in {trl} (--install puts it there)\n")
                continue
            results[part] = measured(part, args, Path(work))
            showing[part](results[part])
            write_json(args.json, where, results)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--parts", nargs="+", choices=[*PARTS, *SIDES], default=[*PARTS])
    whole.add_argument("--cases", nargs="+", choices=CASES, metavar="CASE", help=", ".join(CASES))
    whole.add_argument("--turns", type=int, default=5, help="that count; one more goes before")
    folders = Path("outputs") / "trl"
    whole.add_argument("--trl-ppo", type=Path, default=folders / PPO_RELEASE, metavar="DIR")
    whole.add_argument("--trl", type=Path, default=folders / RELEASE, metavar="DIR")
    whole.add_argument("--install", action="store_true", help="TRL into these two folders first")
    whole.add_argument(
        "--words", nargs="*", default=[], metavar="SETTING", help="more settings of ours"
    )
    whole.add_argument("--json", type=Path)
    whole.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return whole


if __name__ == "__main__":
    main()
