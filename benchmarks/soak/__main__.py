"""The command: see the package's docstring."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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
    """Tries of each kind until so many faults of it came, `jobs` at a time: the next kind begins
    where there is nothing left to begin of the one before."""
    tries: dict[str, list[Try]] = {kind: [] for kind in wanted}
    running: dict[Future[None], Try] = {}
    began: dict[str, float] = {}
    with ThreadPoolExecutor(2 * jobs) as pool:
        while True:
            while one := _next_try(wanted, tries, [*running.values()], jobs):
                began.setdefault(one.kind, time.monotonic())
                tries[one.kind].append(one)
                running[pool.submit(attempt, scene, one)] = one
            if not running:
                return [one for of_kind in tries.values() for one in of_kind]
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                kind = running.pop(future).kind
                if not _missing(wanted[kind], tries[kind], [*running.values()], kind):
                    _tell(kind, tries[kind], time.monotonic() - began[kind])


def _next_try(
    wanted: dict[str, int], tries: dict[str, list[Try]], running: list[Try], jobs: int
) -> Try | None:
    """The try that is begun next; None where there is no room for one, or nothing is missing."""
    room = jobs - sum(1 / KINDS[one.kind].share for one in running)
    for kind, count in wanted.items():
        of_kind = [one for one in running if one.kind == kind]
        # no more at once than are missing, were each to bring one fault only
        fits = not running or 1 / KINDS[kind].share <= room
        if fits and _missing(count, tries[kind], running, kind) > len(of_kind):
            return Try(kind, len(tries[kind]))
    return None


def _missing(count: int, tries: list[Try], running: list[Try], kind: str) -> int:
    """How many faults of a kind are still to come, as far as its ended tries tell; none where more
    tries would be no use and none is at work."""
    at_work = [one for one in running if one.kind == kind]
    came = sum(len(one.faults) for one in tries if one not in at_work)
    return len(at_work) if len(tries) >= MOST * count else max(count - came, len(at_work))


def _tell(kind: str, tries: list[Try], seconds: float) -> None:
    faults, broken = sum(len(t.faults) for t in tries), sum(bool(t.broken) for t in tries)
    print(
        f"{kind}: {faults} faults in {len(tries)} tries, {broken} broke a promise, {seconds:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    print("\n".join(broken_lines(tries)), file=sys.stderr, flush=True)


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
