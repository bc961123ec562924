"""The command: see the package's docstring."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import benchmarks.soak
from benchmarks.soak import damage, disk, hostile, kills, server, sweeps
from benchmarks.soak.scene import Scene
from benchmarks.soak.tries import Try, markdown, put_into

# kind -> one try of it, and how many faults of it a whole soak has
KINDS: dict[str, tuple[Callable[[Scene, Try], object], int]] = {
    "kill": (kills.kill, 200),
    "stop": (kills.stop, 60),
    "ranks": (kills.ranks, 20),
    "damage": (damage.damage, 100),
    "disk": (disk.disk, 40),
    "server": (server.server, 20),
    "hostile": (hostile.hostile, 60),
    "sweep": (sweeps.sweep, 30),
}


def soak(scene: Scene, wanted: dict[str, int], jobs: int = 1) -> list[Try]:
    """Tries of each kind until so many faults of it came, `jobs` at a time."""
    tries: list[Try] = []
    for kind, count in wanted.items():
        began, number, faults = time.monotonic(), 0, 0
        while faults < count and kind not in scene.skipped:
            # no more at once than are missing, were each to bring one fault only
            wave = [Try(kind, number + i) for i in range(min(jobs, count - faults))]
            number += len(wave)
            with ThreadPoolExecutor(jobs) as pool:
                list(pool.map(lambda one: attempt(scene, one), wave))
            tries += wave
            faults += sum(len(one.faults) for one in wave)
        seconds = time.monotonic() - began
        broken = sum(bool(one.broken) for one in tries if one.kind == kind)
        print(
            f"{kind}: {faults} faults in {number} tries, {broken} broke a promise, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return tries


def attempt(scene: Scene, one: Try) -> None:
    KINDS[one.kind][0](scene, one)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=benchmarks.soak.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; KIND=COUNT; KIND:NUMBER"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, help="so many faults of every kind")
    parser.add_argument("--jobs", type=int, default=1, help="tries at a time")
    parser.add_argument("--markdown", type=Path, help="a page with marks, or a new file")
    parser.add_argument("--keep", type=Path, help="an empty folder where everything is kept")
    args = parser.parse_args(argv)
    single = [word.split(":") for word in args.kinds if ":" in word]
    counted = [word.partition("=") for word in args.kinds if ":" not in word]
    names = [name for name, *_ in [*single, *counted]]
    if unknown := [name for name in names if name not in KINDS]:
        parser.error(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    wanted = {name: int(n or args.each or KINDS[name][1]) for name, _, n in counted}
    if not args.kinds:
        wanted = {name: args.each or count for name, (_, count) in KINDS.items()}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        root = (args.keep or Path(scratch)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        scene = Scene(root, args.seed, keep=args.keep is not None)
        tries = [Try(kind, int(number)) for kind, number in single]
        for one in tries:
            attempt(scene, one)
        tries += soak(scene, wanted, max(1, args.jobs))
        server.close()
    command = " ".join(["python -m benchmarks.soak", *(argv or sys.argv[1:])])
    text = markdown(tries, scene.skipped, command, time.monotonic() - began)
    print(text)
    if args.markdown:
        put_into(args.markdown, text)
    return int(any(one.broken for one in tries))


if __name__ == "__main__":
    sys.exit(main())
