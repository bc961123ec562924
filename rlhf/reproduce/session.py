"""One reproduction, from the check to the verdict."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import chdir
from functools import partial
from pathlib import Path

from rlhf.config.naming import other_version
from rlhf.data.records import DataError
from rlhf.reproduce.check import Checker
from rlhf.reproduce.differences import packages
from rlhf.reproduce.kept import Kept, kept_config, where_started
from rlhf.reproduce.place import (
    DONE,
    RECORD,
    Place,
    choose,
    directory_of,
    make_again,
    record,
    reusable,
    work_digest,
)
from rlhf.reproduce.report import conclusion, differences, of_job
from rlhf.reproduce.screen import say, show_plan, show_results
from rlhf.reproduce.target import NoTarget, Target, shown
from rlhf.reproduce.verdict import Comparer, JobComparison

EQUAL, DIFFERENT = 0, 1


class Refused(ValueError):
    """Nothing was made again. The message says why."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n  ".join(lines))


def reproduce(target: Target, options: Namespace) -> int:
    """Makes a target again and compares: 0 bitwise equal, 1 something differs, 130 or 143 stopped.
    The options are the command's: into, reuse_stages, dry_run, every, jobs.

    Configs first, all of them; then from where the original was started, as its relative paths
    mean that place.

    Raises:
        Refused: a config or the data is wrong, or there is nothing to compare with.
        RunFailed: another process is at work in the same place.
    """
    begun = [original for original in target.jobs if original.began]
    for original in begun:
        if reason := other_version(Path(shown(original.directory))):
            raise Refused(reason)
    kept = {original.name: kept_config(original) for original in begun}
    if faults := _faults(target, kept):
        raise Refused(*faults)
    configs = [copy.config for copy in kept.values() if copy.config is not None]
    here = Path.cwd()
    root = where_started(begun[0], configs[0]) or here

    from rlhf.sweeps.launchers.prepare import limit_threads

    limit_threads(max(cfg.trainer.threads for cfg in configs))
    with chdir(root):
        try:
            return _go(target, kept, here, options)
        except NoTarget as error:
            raise Refused(str(error)) from None
        except DataError as error:
            started = f"(relative paths start from {root}, where the original was started)"
            place = "" if root == here else f" {started}"
            raise Refused(f"the data is wrong{place}:", *error.faults) from None


def _faults(target: Target, kept: Mapping[str, Kept]) -> list[str]:
    """Every fault of every job's config, each once, and what else is of another version."""
    jobs_of: dict[str, list[str]] = {}
    for name, copy in kept.items():
        for fault in copy.faults:
            jobs_of.setdefault(fault, []).append(name)
    if not jobs_of:
        return []
    wrong = {name: None for names in jobs_of.values() for name in names}
    first = next(original for original in target.jobs if original.name in wrong)
    count = "One thing is" if len(jobs_of) == 1 else f"{len(jobs_of)} things are"
    whose = f" of {len(wrong)} jobs" if target.kind == "sweep" else ""
    return [
        f"{count} wrong with the config{whose} that {shown(target.directory)} kept:",
        *(
            f"{fault}{f'  [{len(names)} of {len(kept)} jobs]' if len(names) < len(kept) else ''}"
            for fault, names in jobs_of.items()
        ),
        *(
            f"(made with {package.name} {package.then}, here it is {package.now})"
            for package in packages(first.manifest)
        ),
    ]


def _go(target: Target, kept: Mapping[str, Kept], here: Path, options: Namespace) -> int:
    """At work in the folder that the original was started in; `here` is where the command was
    given. Raises NoTarget, DataError, RunFailed."""
    from rich.console import Console

    checker, reuse, name = Checker(), bool(options.reuse_stages), partial(shown, here=here)
    begun = [original for original in target.jobs if original.began]
    checked = [checker.check(original, kept[original.name]) for original in begun]
    jobs = [job for job in checked if job.comparable]
    names = {job.original.name for job in jobs}
    skipped = [original for original in target.jobs if original.name not in names]
    if not jobs:
        raise NoTarget(
            f"{name(target.directory)} has nothing to compare with: it has not reached its first"
            " iteration."
        )
    mark = work_digest(target, jobs, reuse=reuse)
    base = Path(jobs[0].config.paths.outputs).absolute() / "reproduced"
    place = choose(target, options.into and here / options.into, base, mark)
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    show_plan(console, target, jobs, skipped, place, reuse=reuse, name=name)
    if options.dry_run:
        return EQUAL
    facts = {"of": str(target.directory), "kind": target.kind, "identity": mark}
    record(place, state="running", **facts, reuse_stages=reuse, differences=differences(jobs))
    console.file.flush()
    code = make_again(target, jobs, place, reuse=reuse, at_once=options.jobs)
    if code in (130, 143):
        record(place, state="stopped")
        return code
    comparer = Comparer(place.store)
    compared = [
        comparer.compare(
            job, directory_of(job, target, place), reused=reusable(job) if reuse else ()
        )
        for job in jobs
    ]
    sentence = _conclude(target, place, compared, [original.name for original in skipped])
    show_results(console, target, compared, every=options.every)
    say(console, f"\n{sentence}\n{name(place.directory / RECORD)}")
    return EQUAL if all(job.equal for job in compared) else DIFFERENT


def _conclude(
    target: Target, place: Place, compared: Sequence[JobComparison], skipped: Sequence[str]
) -> str:
    """Writes down how it came out; returns the last sentence."""
    sentence = conclusion(target, compared, skipped)
    record(
        place,
        state=DONE if all(job.finished for job in compared) else "failed",
        equal=all(job.equal for job in compared),
        sentence=sentence,
        left_out=list(skipped),
        jobs=[of_job(job) for job in compared],
    )
    return sentence
