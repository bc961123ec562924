"""One reproduction, from the check to the verdict."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Mapping
from contextlib import chdir
from functools import partial
from pathlib import Path

from rlhf.compare.terminal import wide_console
from rlhf.config.naming import other_version
from rlhf.data.records import DataError
from rlhf.reproduce.check import check
from rlhf.reproduce.differences import packages
from rlhf.reproduce.kept import Kept, kept_config, where_started
from rlhf.reproduce.place import (
    DONE,
    RECORD,
    choose,
    directory_of,
    make_again,
    record,
    work_digest,
)
from rlhf.reproduce.report import conclusion, differences, of_job
from rlhf.reproduce.screen import say, show_plan, show_results
from rlhf.reproduce.target import Refused, Target, shown
from rlhf.reproduce.verdict import compare
from rlhf.rundir.errors import ModelError
from rlhf.runs.machine.faults import model_fault, models_of

Left = tuple[Mapping[str, str], Mapping[str, str]]
NOT_BEGUN = "it had not begun, there is nothing to compare with"


def reproduce(target: Target, options: Namespace) -> int:
    """Makes a target again and compares: 0 bitwise equal, 1 something differs, 130 or 143 stopped.
    The options are the command's: into, reuse_stages, dry_run, every, jobs.

    Configs first, all of them; then from where the original was started, as its relative paths
    mean that place. Jobs of a sweep that another version of the hash named are left out.

    Raises:
        Refused: a config or the data is wrong, or there is nothing to compare with.
        RunFailed: another process is at work in the same place.
    """
    begun = [original for original in target.jobs if original.began]
    old = {
        original.name: reason
        for original in begun
        if (reason := other_version(Path(shown(original.directory))))
    }
    kept = [kept_config(original) for original in begun if original.name not in old]
    lost: dict[str, str] = {}
    if any(copy.readable for copy in kept):
        lost = {copy.original.name: copy.faults[0] for copy in kept if not copy.readable}
        kept = [copy for copy in kept if copy.readable]
    if not kept:
        raise Refused(*list(old.values())[:1])
    if any(copy.faults for copy in kept):
        raise Refused(*_faults(target, kept))
    configs = [copy.config for copy in kept if copy.config is not None]
    here = Path.cwd()
    root = where_started(kept[0].original, configs[0]) or here

    from rlhf.sweeps.launchers.prepare import limit_threads

    limit_threads(max(cfg.trainer.threads for cfg in configs))
    with chdir(root):
        try:
            models = dict.fromkeys(model for cfg in configs for model in models_of(cfg))
            if lacking := [fault for model in models if (fault := model_fault(*model))]:
                raise ModelError(lacking)
            return _go(target, kept, (old, lost), here, options)
        except (DataError, ModelError) as error:
            started = f" (relative paths start from {root}, where the original was started)"
            place = "" if root == here else started
            what = "data" if isinstance(error, DataError) else "model"
            raise Refused(f"the {what} is wrong{place}:", *error.faults) from None


def _faults(target: Target, kept: Collection[Kept]) -> list[str]:
    """Every fault of every job's config, each once, and what else is of another version."""
    wrong = [copy for copy in kept if copy.faults]
    jobs_of = {fault: [c for c in wrong if fault in c.faults] for c in wrong for fault in c.faults}
    count = "One thing is" if len(jobs_of) == 1 else f"{len(jobs_of)} things are"
    whose = f" of {len(wrong)} jobs" if target.kind == "sweep" else ""
    return [
        f"{count} wrong with the config{whose} that {shown(target.directory)} kept:",
        *(
            f"{fault}{f'  [{len(jobs)} of {len(kept)} jobs]' if len(jobs) < len(kept) else ''}"
            for fault, jobs in jobs_of.items()
        ),
        *(
            f"(made with {package.name} {package.then}, here it is {package.now})"
            for package in packages(wrong[0].original.manifest)
        ),
    ]


def _go(target: Target, kept: Collection[Kept], left: Left, here: Path, options: Namespace) -> int:
    """At work in the folder that the original was started in; `here` is where the command was
    given; `left`: why jobs of another version are left out, and those whose config cannot be read.
    Raises Refused, DataError, RunFailed."""
    old, why = left[0], {**left[0], **left[1]}
    reuse, name = bool(options.reuse_stages), partial(shown, here=here)
    jobs = [job for job in check(kept) if job.comparable]
    if not jobs:
        raise Refused(
            f"{name(target.directory)} has nothing to compare with: it has not reached its first"
            " iteration."
        )
    names = {job.original.name for job in jobs}
    left_out = {o.name: why.get(o.name, NOT_BEGUN) for o in target.jobs if o.name not in names}
    mark = work_digest(target, jobs, reuse=reuse)
    base = Path(jobs[0].config.paths.outputs).absolute() / "reproduced"
    place = choose(target, options.into and here / options.into, base, mark)
    console = wide_console()
    show_plan(console, target, jobs, left_out, place, reuse=reuse, name=name)
    if options.dry_run:
        return 0
    record(
        place,
        state="running",
        of=str(target.directory),
        kind=target.kind,
        identity=mark,
        reuse_stages=reuse,
        differences=differences(jobs),
    )
    console.file.flush()
    code = make_again(target, jobs, place, reuse=reuse, at_once=options.jobs)
    if code in (130, 143):
        record(place, state="stopped")
        return code
    places = {directory_of(job, target, place): job for job in jobs}
    compared = compare(places, place.store, reuse=reuse)
    sentence = conclusion(target, compared, [*left_out.keys() - why.keys()], [*old], [*left[1]])
    equal = all(job.equal for job in compared)
    record(
        place,
        state=DONE if all(job.finished for job in compared) else "failed",
        equal=equal,
        sentence=sentence,
        left_out=list(left_out),
        jobs=[of_job(job) for job in compared],
    )
    show_results(console, target, compared, every=options.every)
    say(console, f"\n{sentence}\n{name(place.directory / RECORD)}")
    return 0 if equal else 1
