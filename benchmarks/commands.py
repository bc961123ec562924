"""What help and a key press of completion take: CPU seconds of the whole process.

    python -m benchmarks.commands                  # a minute; a table
    python -m benchmarks.commands --turns 20 --json FILE

Each command is a process of its own, start of Python included, in turn with the others. The first
turn, which writes compiled files and fills the disk's cache, is not counted. Median and range.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.speed.report import machine, show, table, write_json

TAB = ("completion", "zsh", "--line")
COMMANDS = {
    "`rlhf <TAB>`": (*TAB, "rlhf "),
    "`rlhf kl/contr<TAB>`": (*TAB, "rlhf kl/contr"),
    "`rlhf kl/controller=ad<TAB>`": (*TAB, "rlhf kl/controller=ad"),
    "`rlhf ppo.iter<TAB>`": (*TAB, "rlhf ppo.iter"),
    "`rlhf ppo.aggregation=<TAB>`": (*TAB, "rlhf ppo.aggregation="),
    "`rlhf export --wh<TAB>`": (*TAB, "rlhf export --wh"),
    "`rlhf compare sw<TAB>`": (*TAB, "rlhf compare sw"),
    "`rlhf --help`": ("--help",),
    "`rlhf --version`": ("--version",),
    "`rlhf export --help`": ("export", "--help"),
    "`rlhf config`": ("config",),
    "`rlhf config ppo.iterations`": ("config", "ppo.iterations"),
    "`rlhf --help kl=grpo` (Hydra's)": ("--help", "kl=grpo"),
}


def cost(words: tuple[str, ...]) -> dict[str, float]:
    """CPU and clock seconds of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "rlhf", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": time.monotonic() - began}


def main() -> None:
    args = parser().parse_args()
    where = machine()
    show(f"{where}\n")
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    for number in range(args.turns + 1):
        for name, words in COMMANDS.items():
            each = cost(words)
            if number:
                turns[name].append(each)
        write_json(args.json, where, [{"command": name, "turns": turns[name]} for name in turns])
    rows = [
        [name, len(each), *(spread(each, key) for key in ("cpu", "wall"))]
        for name, each in turns.items()
    ]
    show(table(("command", "n", "CPU-s: median (range)", "s on the clock"), rows))


def spread(turns: list[dict[str, float]], key: str) -> str:
    """`0.11 (0.10 to 0.13)`."""
    values = sorted(turn[key] for turn in turns)
    return f"{values[len(values) // 2]:.2f} ({values[0]:.2f} to {values[-1]:.2f})"


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--turns", type=int, default=10)
    whole.add_argument("--json", type=Path)
    return whole


if __name__ == "__main__":
    main()
