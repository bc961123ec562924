"""`python -m benchmarks.claims`: rlhf.benchmarks.claims says what it does."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import torch

import benchmarks.claims
from benchmarks.claims.tables import Kept
from benchmarks.speed import one_thread
from benchmarks.speed.report import machine, show

CLAIMS = (
    "k2_in_loss",
    "rho_k3",
    "k3_in_reward",
    "rao_blackwell",
    "grpo_rho",
    "forward_kl",
    "heavy_tails",
    "ema_anchor",
)


def main(args: argparse.Namespace) -> None:
    one_thread()
    torch.set_num_threads(1)
    show(f"{machine()}\n")
    for name in args.claims or CLAIMS:
        claim = import_module(f"benchmarks.claims.{name}")
        folder = args.folder.resolve() / name
        show(f"## {name}\n\n    python -m benchmarks.claims {name} --problems {args.problems}\n")
        for shown in claim.tables(Kept(folder / "problems.json"), args.problems):
            show(str(shown))
        if args.runs and hasattr(claim, "runs"):
            seeds = f" seed={','.join(map(str, range(args.seeds)))}" if args.seeds > 1 else ""
            show(f"    rlhf experiment=claims/{name}{seeds}\n")
            for shown in claim.runs(folder, args.seeds):
                show(str(shown))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=benchmarks.claims.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("claims", nargs="*", choices=[*CLAIMS, []], help="all where none is named")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--runs", action="store_true", help="train PPO too")
    parser.add_argument("--seeds", type=int, default=1, help="of PPO on each problem")
    parser.add_argument("--folder", type=Path, default=Path("outputs/claims"))
    main(parser.parse_args())
