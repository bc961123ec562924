"""rlhf-reproduce <run, stage, sweep or MLflow run id>"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.config.allow import ENVIRONMENT
from rlhf.data.records import DataError
from rlhf.reproduce.check import Checker, Job
from rlhf.reproduce.differences import packages
from rlhf.reproduce.kept import Kept, kept_config, where_started
from rlhf.reproduce.place import DONE, RECORD, Place, choose, identity, record, reusable
from rlhf.reproduce.report import conclusion, differences, of_job
from rlhf.reproduce.rerun import directory_of, make_again
from rlhf.reproduce.screen import say, show_plan, show_results
from rlhf.reproduce.target import NoTarget, Target, find, shown
from rlhf.reproduce.verdict import Comparer
from rlhf.rundir.errors import RunFailed
from rlhf.tracking.store import DEFAULT, default_uri

if TYPE_CHECKING:
    from rich.console import Console

EQUAL, DIFFERENT, WRONG = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rlhf-reproduce",
        description=(
            "Makes a run, a stage or a whole sweep again from the config it kept, in a new"
            " directory, and says of every metric whether it is bitwise equal, or by how much it is"
            " off and from which iteration. Before that: what differs in config, packages, code,"
            " machine and data."
        ),
        epilog=(
            "Exit codes: 0 bitwise equal; 1 something differs or a run failed; 2 the argument, the"
            " config or the data is wrong; 130 and 143 stopped by a signal: the same command goes"
            " on. MLflow is left alone."
        ),
    )
    made.add_argument(
        "what",
        help=(
            "a run's directory, outputs/artifacts/<stage>/<fingerprint>, sweeps/<name>, or an"
            " MLflow run id"
        ),
    )
    made.add_argument(
        "--into",
        type=Path,
        metavar="DIR",
        help="the new directory; by default outputs/reproduced/<name>-<n>",
    )
    made.add_argument(
        "--reuse-stages",
        action="store_true",
        help=(
            "take the SFT policy and the reward model as they are; by default they are trained"
            " again"
        ),
    )
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done and what differs already, and stop there",
    )
    made.add_argument(
        "--all", action="store_true", dest="every", help="list every metric, the equal ones too"
    )
    made.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="of a sweep: jobs at a time; by default half the cores",
    )
    made.add_argument(
        "--tracking-uri",
        metavar="URI",
        help=f"where to look a run id up; by default MLFLOW_TRACKING_URI or {DEFAULT}",
    )
    made.add_argument(
        "--allow-targets",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package of yours that the config names classes of",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 bitwise equal; 1 something differs or a run failed; 2 argument, config or
    data is wrong; 130, 143 stopped."""
    args = parser().parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        return _refuse(f"--jobs={args.jobs}: expected a whole number >= 1")
    if args.allow_targets:
        os.environ[ENVIRONMENT] = ",".join(
            filter(None, [os.environ.get(ENVIRONMENT, ""), *args.allow_targets])
        )
    uri = args.tracking_uri or default_uri()
    try:
        target = find(args.what, uri)
    except NoTarget as error:
        return _refuse(str(error))
    return _reproduce(target, args)


def _refuse(*lines: str) -> int:
    print("\n  ".join([f"rlhf-reproduce: {lines[0]}", *lines[1:]]), file=sys.stderr)
    return WRONG


def _reproduce(target: Target, args: argparse.Namespace) -> int:
    """Configs first, all of them; then from where the original was started, as its relative
    paths mean that place."""
    kept = {original.name: kept_config(original) for original in target.jobs if original.began}
    faults = _faults(target, kept)
    if faults:
        return _refuse(*faults)
    configs = [found.config for found in kept.values() if found.config is not None]
    here, into = Path.cwd(), args.into and args.into.absolute()
    first = next(original for original in target.jobs if original.began)
    root = where_started(first, configs[0]) or here

    from rlhf.sweeps.launchers.prepare import limit_threads

    limit_threads(max(cfg.trainer.threads for cfg in configs))
    with chdir(root):
        try:
            return Session(target=target, kept=kept, here=here, args=args).go(into)
        except NoTarget as error:
            return _refuse(str(error))
        except DataError as error:
            place = (
                ""
                if root == here
                else f" (relative paths start from {root}, where the original was started)"
            )
            return _refuse(f"the data is wrong{place}:", *error.faults)
        except RunFailed as error:
            print(f"rlhf-reproduce: {error}", file=sys.stderr)
            return DIFFERENT
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
            return 130


def _faults(target: Target, kept: Mapping[str, Kept]) -> list[str]:
    """Every fault of every job's config, each once, and what else is of another version."""
    seen: dict[str, list[str]] = {}
    for name, found in kept.items():
        for fault in found.faults:
            seen.setdefault(fault, []).append(name)
    if not seen:
        return []
    made = next(
        original for original in target.jobs if original.name == next(iter(seen.values()))[0]
    )
    count = "One thing is" if len(seen) == 1 else f"{len(seen)} things are"
    whose = (
        ""
        if target.kind != "sweep"
        else f" of {len({name for names in seen.values() for name in names})} jobs"
    )
    lines = [
        f"{fault}{f'  [{len(names)} of {len(kept)} jobs]' if len(names) < len(kept) else ''}"
        for fault, names in seen.items()
    ]
    versions = [
        f"(made with {found.name} {found.then}, here it is {found.now})"
        for found in packages(made.manifest)
    ]
    return [
        f"{count} wrong with the config{whose} that {shown(target.directory)} kept:",
        *lines,
        *versions,
    ]


@dataclass(frozen=True, kw_only=True)
class Session:
    """One command, from the check to the verdict, at work in the folder that the original was
    started in."""

    target: Target
    kept: Mapping[str, Kept]
    here: Path
    args: argparse.Namespace

    def go(self, into: Path | None) -> int:
        """Raises NoTarget, DataError, RunFailed."""
        from rich.console import Console

        checker, target, reuse = Checker(), self.target, bool(self.args.reuse_stages)
        checked = [
            checker.check(original, self.kept[original.name])
            for original in target.jobs
            if original.began
        ]
        jobs = [job for job in checked if job.comparable]
        skipped = [
            original
            for original in target.jobs
            if original.name not in {job.original.name for job in jobs}
        ]
        if not jobs:
            raise NoTarget(
                f"{self.name(target.directory)} has nothing to compare with: it has not reached its"
                " first iteration."
            )
        mark = identity(target, jobs, reuse=reuse)
        place = choose(
            target, into, Path(jobs[0].config.paths.outputs).absolute() / "reproduced", mark
        )
        console = Console()
        console = console if console.is_terminal else Console(width=160)
        show_plan(console, target, jobs, skipped, place, reuse=reuse, name=self.name)
        if self.args.dry_run:
            return EQUAL
        what = {
            "of": str(target.directory),
            "kind": target.kind,
            "identity": mark,
            "reuse_stages": reuse,
            "differences": differences(jobs),
        }
        record(place, state="running", **what)
        console.file.flush()
        code = make_again(target, jobs, place, reuse=reuse, at_once=self.args.jobs)
        if code in (130, 143):
            record(place, state="stopped")
            return code
        return self._conclude(console, jobs, [original.name for original in skipped], place)

    def _conclude(self, console: Console, jobs: list[Job], skipped: list[str], place: Place) -> int:
        comparer = Comparer(place.store)
        made = [
            comparer.compare(
                job,
                directory_of(job, self.target, place),
                reused=reusable(job) if self.args.reuse_stages else (),
            )
            for job in jobs
        ]
        equal, said = all(found.equal for found in made), conclusion(self.target, made, skipped)
        state = DONE if all(found.finished for found in made) else "failed"
        record(
            place,
            state=state,
            equal=equal,
            sentence=said,
            left_out=skipped,
            jobs=[of_job(found) for found in made],
        )
        show_results(console, self.target, made, every=self.args.every)
        say(console, f"\n{said}\n{self.name(place.directory / RECORD)}")
        return EQUAL if equal else DIFFERENT

    def name(self, path: Path) -> str:
        return shown(path, self.here)


if __name__ == "__main__":
    sys.exit(main())
