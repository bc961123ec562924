"""What `rlhf compare` costs: CPU seconds and the size of the page, of 8 and of 500 runs.

    python -m benchmarks.comparing RUN             # RUN: the directory of a finished run
    python -m benchmarks.comparing RUN --runs 8 500 --repeats 5 --json FILE --keep FOLDER
    python -m benchmarks.comparing RUN --tracking  # and its summary run in MLflow, as users do

The runs are copies of RUN with other coefficients and seeds (10 seeds a coefficient, 4 of 8 runs)
and other numbers: every reward and KL moves by a normal of a tenth of its size. Process CPU
seconds of the whole command, its processes included, in a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from rlhf.rundir.read import read_json, read_yaml

PACKAGES = ("rlhf", "altair", "vl-convert-python", "scipy", "mlflow", "PyYAML")
FILES = ("best_of_n.json", "data_report.json", "samples.jsonl", "timings.jsonl", "log.txt")
MOVING = ("reward/", "kl/sequence_nats", "kl/token_nats", "objective", "ppo/score")


def settings_of(runs: int) -> Iterator[tuple[float, int]]:
    """(coefficient, seed) of each run."""
    seeds = 10 if runs >= 40 else 2
    settings = math.ceil(runs / seeds)
    for i in range(runs):
        at = i // seeds
        yield round(0.002 * 1.12**at, 5) if settings > 1 else 0.05, i % seeds


def moved(value: Any, draw: random.Random) -> Any:
    """The numbers of a run's file, moved; what is no reward or KL stays."""
    if isinstance(value, dict):
        return {
            key: item * (1 + 0.1 * draw.gauss(0, 1))
            if isinstance(item, float) and any(name in key for name in MOVING)
            else moved(item, draw)
            for key, item in value.items()
        }
    return value


def copy(run: Path, into: Path, coef: float, seed: int) -> str:
    """One run with another coefficient, seed and other numbers; its name."""
    draw, old = random.Random(f"{coef} {seed}"), read_json(run / "manifest.json")
    name = f"kl{coef:g}-fixed-seed{seed}-{draw.getrandbits(32):08x}"
    place = into / name
    place.mkdir()
    for file in FILES:
        if (run / file).exists():
            shutil.copy(run / file, place / file)
    config = read_yaml(run / "config.yaml")
    config["kl"]["coef"], config["seed"] = coef, seed
    config["paths"]["run_dir"] = str(place)
    (place / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    ids = {"name": name, "seed": seed, "hash": name[-8:], "sweep": into.name}
    _write(place / "manifest.json", {**old, **ids})
    _write(place / "status.json", read_json(run / "status.json"))
    summary = {"name": name, "seed": seed, "kl.coef": coef, "kl.coef_final": coef}
    _write(place / "summary.json", {**moved(read_json(run / "summary.json"), draw), **summary})
    for file in ("metrics.jsonl", "by_prompt.jsonl"):
        rows = [json.loads(line) for line in (run / file).read_text().splitlines()]
        if file == "by_prompt.jsonl":
            rows = [_by_prompt(row, draw) for row in (*rows[:1], *rows[-1:])]
        else:
            rows = [rows[0], *(moved(row, draw) for row in rows[1:])]
        (place / file).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return name


def _by_prompt(row: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    return {
        key: [v + 0.1 * draw.gauss(0, 1) for v in values]
        if row["iteration"] and key.startswith("reward/")
        else values
        for key, values in row.items()
    }


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2))


def make(run: Path, into: Path, runs: int) -> None:
    into.mkdir(parents=True)
    jobs = [
        {
            "name": copy(run, into, coef, seed),
            "overrides": [f"kl.coef={coef}", f"seed={seed}"],
        }
        for coef, seed in settings_of(runs)
    ]
    _write(into / "sweep.json", {"name": into.name, "study": "comparing", "jobs": jobs})


def measure(sweep: Path, tracking: bool) -> dict[str, float]:
    words = [] if tracking else ["--no-tracking"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "rlhf", "compare", str(sweep), *words],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=sweep.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu, "page_mb": (sweep / "report.html").stat().st_size / 1e6}


def machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    here = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{here}, {packages}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 500])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tracking", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="where the runs are made; kept, and used again")
    args = parser.parse_args(argv)
    results: dict[int, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for runs in args.runs:
            sweep = (args.keep or Path(temporary)).resolve() / f"of-{runs}"
            if not sweep.exists():
                make(args.run.resolve(), sweep, runs)
            results[runs] = [measure(sweep, args.tracking) for _ in range(args.repeats)]
    print(f"{machine()}; MLflow {'on' if args.tracking else 'off'}\n")
    print("| runs | n | CPU-s (range) | page, MB |\n|---|---|---|---|")
    for runs, tries in results.items():
        cpu = [one["cpu_s"] for one in tries]
        middle = f"{statistics.median(cpu):.1f} ({min(cpu):.1f} to {max(cpu):.1f})"
        print(f"| {runs} | {len(tries)} | {middle} | {tries[-1]['page_mb']:.2f} |")
    if args.json:
        _write(args.json, {"machine": machine(), "tracking": args.tracking, "runs": results})


if __name__ == "__main__":
    main()
