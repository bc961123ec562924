"""What help and a key press of completion take: CPU seconds of the whole process.

    python -m benchmarks.commands                  # a minute; a table
    python -m benchmarks.commands --turns 20 --json FILE

Each command is a process of its own, start of Python included, in turn with the others, in a folder
with ten sweeps of 50 runs (empty files with the names of a run's). The first turn, which writes
compiled files and fills the disk's cache, is not counted. Median and range.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

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
    "`rlhf sample kl0.1<TAB>`": (*TAB, "rlhf sample kl0.1"),
    "`rlhf --help`": ("--help",),
    "`rlhf --version`": ("--version",),
    "`rlhf export --help`": ("export", "--help"),
    "`rlhf reproduce --help`": ("reproduce", "--help"),
    "`rlhf config`": ("config",),
    "`rlhf config ppo.iterations`": ("config", "ppo.iterations"),
    "`rlhf --help kl=grpo` (Hydra's)": ("--help", "kl=grpo"),
}


def make_runs(place: Path, *, sweeps: int = 10, runs: int = 50) -> None:
    """Folders that completion takes for so many runs."""
    for sweep in range(sweeps):
        for run in range(runs):
            folder = place / "sweeps" / f"s{sweep}" / f"kl{run / 100:g}-fixed-seed{sweep}"
            (folder / "checkpoints").mkdir(parents=True)
            for name in ("config.yaml", "manifest.json", "status.json", "summary.json"):
                (folder / name).touch()
        (folder.parent / "sweep.json").touch()


def cost(words: tuple[str, ...], place: Path) -> dict[str, float]:
    """CPU and clock seconds of a command that is given in a folder."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "rlhf", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": time.monotonic() - began}


def main() -> None:
    args = parser().parse_args()
    where = machine()
    show(f"{where}\n")
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    with TemporaryDirectory() as place:
        make_runs(Path(place))
        for number in range(args.turns + 1):
            for name, words in COMMANDS.items():
                each = cost(words, Path(place))
                if number:
                    turns[name].append(each)
            entries = [{"command": name, "turns": turns[name]} for name in turns]
            write_json(args.json, where, entries)
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
