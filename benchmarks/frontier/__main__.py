"""`python -m benchmarks.frontier exact|sampled`: rlhf.benchmarks.frontier says what each does."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.frontier import exact, sampled


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description="Whole frontiers, and what each way to one costs.")
    parts = whole.add_subparsers(required=True)
    for module, name in ((exact, "exact"), (sampled, "sampled")):
        part = parts.add_parser(
            name,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        part.set_defaults(main=module.main)
        part.add_argument("words", nargs="*", help="overrides for every command")
        part.add_argument("--folder", type=Path, default=Path("outputs/frontier"))
        part.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        if module is sampled:
            part.add_argument("--data", choices=sampled.DATA, default="reviews")
            part.add_argument("--coefs", type=float, nargs="+", default=[*sampled.COEFS])
            part.add_argument("--ways", nargs="+", default=["path", "realign"])
            variants = [*sampled.VARIANTS, "upwards"]
            part.add_argument("--variants", nargs="+", choices=variants, default=variants)
        else:
            part.add_argument(
                "--problems", nargs="+", choices=exact.PROBLEMS, default=[*exact.PROBLEMS]
            )
            part.add_argument("--ways", nargs="+", choices=exact.WAYS, default=[*exact.WAYS])
    return whole


if __name__ == "__main__":
    args = parser().parse_args()
    args.main(args)
