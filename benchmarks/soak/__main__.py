"""The command: see the package's docstring."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import benchmarks.soak
from benchmarks.soak import damage, disk, hostile, kills, server, sweeps
from benchmarks.soak.scene import Scene
from benchmarks.soak.tries import Try, broken_lines, check_page, markdown, put_into


class Kind(NamedTuple):
    attempt: Callable[[Scene, Try], object]
    count: int  # faults of a whole soak
    share: float = 1.0  # tries at a time for each of `--jobs`


KINDS = {
    "kill": Kind(kills.kill, 200),
    "stop": Kind(kills.stop, 60),
    "path": Kind(kills.path, 60),
    "ranks": Kind(kills.ranks, 20),
    "damage": Kind(damage.damage, 100),
    "finished": Kind(damage.finished, 100),
    "disk": Kind(disk.disk, 40),
    "server": Kind(server.server, 20, share=2),  # it waits for the server most of the time
    "hostile": Kind(hostile.hostile, 60),
    "sweep": Kind(sweeps.sweep, 30, share=0.5),  # two processes at work
}
MOST = 20  # tries for each fault that is wanted: more means that the fault cannot come


def soak(scene: Scene, wanted: dict[str, int], jobs: int = 1) -> list[Try]:
    """Tries of each kind until so many faults of it came, `jobs` at a time."""
    tries: list[Try] = []
    for kind, count in wanted.items():
        began, number, faults = time.monotonic(), 0, 0
        at_once = max(1, round(jobs * KINDS[kind].share))
        while faults < count and number < MOST * count:
            # no more at once than are missing, were each to bring one fault only
            wave = [Try(kind, number + i) for i in range(min(at_once, count - faults))]
            number += len(wave)
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(lambda one: attempt(scene, one), wave))
            tries += wave
            faults += sum(len(one.faults) for one in wave)
        seconds = time.monotonic() - began
        of_kind = [one for one in tries if one.kind == kind]
        broken = sum(bool(one.broken) for one in of_kind)
        print(
            f"{kind}: {faults} faults in {number} tries, {broken} broke a promise, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        print("\n".join(broken_lines(of_kind)), file=sys.stderr, flush=True)
    return tries


def attempt(scene: Scene, one: Try) -> None:
    """One try; a fault of the soak's own is told as such, and ends no hour of others."""
    try:
        KINDS[one.kind].attempt(scene, one)
    except Exception as error:
        traceback.print_exc()
        one.breaks(f"the soak itself failed: {error!r}")
        one.faults = one.faults or ["nothing"]


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
    wanted = {name: int(n or args.each or KINDS[name].count) for name, _, n in counted}
    if not args.kinds:
        wanted = {name: args.each or kind.count for name, kind in KINDS.items()}
    if args.markdown:
        check_page(args.markdown)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as scratch:
        root = (args.keep or Path(scratch)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        scene = Scene(root, args.seed, keep=args.keep is not None)
        tries = [Try(kind, int(number)) for kind, number in single]
        try:
            for one in tries:
                attempt(scene, one)
            tries += soak(scene, wanted, max(1, args.jobs))
        finally:
            server.close()
            disk.unmount_below(root)
    command = " ".join(["python -m benchmarks.soak", *(argv or sys.argv[1:])])
    text = markdown(tries, scene.skipped, command, time.monotonic() - began)
    print(text)
    if args.markdown:
        put_into(args.markdown, text)
    return int(any(one.broken for one in tries))


if __name__ == "__main__":
    sys.exit(main())
