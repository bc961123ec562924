"""What `rlhf compare` costs: CPU seconds and the size of the page, of 8 and of 500 runs.

    python -m benchmarks.comparing                 # trains one run first: some minutes in all
    python -m benchmarks.comparing RUN --runs 8 500 --turns 5 --json FILE --keep FOLDER
    python -m benchmarks.comparing RUN --tracking  # and its summary run in MLflow, as users do

The runs are copies of RUN, a finished run's directory (without one, of a run of the defaults), with
other coefficients and seeds (10 seeds a coefficient, 4 of 8 runs) and other numbers: every reward
and KL moves by a normal of a tenth of its size. CPU seconds of the whole command, its processes
included, in a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.speed import one_thread
from benchmarks.speed.commands import cost_of
from benchmarks.speed.report import machine, middle, show, table, version_of, write_json
from rlhf.rundir.read import read_json, read_yaml

PACKAGES = ("altair", "vl-convert-python", "scipy", "mlflow", "PyYAML")
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


def trained(folder: Path) -> Path:
    """The directory of a run of the defaults, which is trained here."""
    cost_of(["tracking=none"], folder)
    return next(folder.glob("outputs/*/*/summary.json")).parent


def measured(sweep: Path, tracking: bool) -> dict[str, float]:
    words = [] if tracking else ["--no-tracking"]
    cost = cost_of(["compare", str(sweep), *words], sweep.parent)
    return {"cpu_s": cost.cpu, "page_mb": (sweep / "report.html").stat().st_size / 1e6}


def main() -> None:
    args = parser().parse_args()
    one_thread()
    tracked = f"MLflow {'on' if args.tracking else 'off'}"
    where = machine(*map(version_of, PACKAGES), tracked)
    show(f"{where}\n")
    results: dict[int, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or Path(temporary)).resolve()
        run = (args.run or trained(Path(temporary) / "run")).resolve()
        for runs in args.runs:
            sweep = folder / f"of-{runs}"
            if not sweep.exists():
                make(run, sweep, runs)
            results[runs] = [measured(sweep, args.tracking) for _ in range(args.turns)]
            write_json(args.json, where, results)
    rows = [
        [
            *(runs, len(turns), middle([turn["cpu_s"] for turn in turns], 1)),
            f"{turns[-1]['page_mb']:.2f}",
        ]
        for runs, turns in results.items()
    ]
    show(table(("runs", "n", "CPU-s (median, range)", "page, MB"), rows))


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("run", type=Path, nargs="?")
    whole.add_argument("--runs", type=int, nargs="+", default=[8, 500])
    whole.add_argument("--turns", type=int, default=5)
    whole.add_argument("--tracking", action="store_true")
    whole.add_argument("--json", type=Path)
    whole.add_argument("--keep", type=Path, help="where the runs are made; kept, and used again")
    return whole


if __name__ == "__main__":
    main()
