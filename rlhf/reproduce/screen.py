"""The texts and tables of a reproduction: what differs already, what will be done, and how it came
out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rlhf.config.naming import stage_title
from rlhf.config.stages import STAGES
from rlhf.reproduce.check import Job, common
from rlhf.reproduce.numbers import MetricComparison
from rlhf.reproduce.place import Place, reusable
from rlhf.reproduce.target import Target
from rlhf.reproduce.verdict import JobComparison, StageComparison
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.words import duration, plural, wrapped

MOST = 12  # metrics that the table lists; reproduction.json has all


def grid(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def say(console: Console, text: str = "") -> None:
    if console.is_terminal:
        text = wrapped(text, console.width)
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def show_plan(
    console: Console,
    target: Target,
    jobs: Sequence[Job],
    left_out: Mapping[str, str],
    place: Place,
    *,
    reuse: bool,
    name: Callable[[Path], str],
) -> None:
    """`left_out`: a reason by a job's name. `name` writes a path as the user would."""
    what = f"sweep of {plural(len(jobs), 'job')}" if target.kind == "sweep" else _described(jobs[0])
    say(console, f"of       {name(target.directory)}: {what}, {duration(_seconds(jobs))} of work")
    resumed = ", where an earlier command was stopped" if place.begun else ""
    say(console, f"into     {name(place.directory)}{resumed}")
    if parents := dict.fromkeys(stage for job in jobs for stage in job.parents):
        taken = [
            stage
            for stage in parents
            if reuse and all(stage in reusable(job) for job in jobs if stage in job.parents)
        ]
        again = [stage for stage in parents if stage not in taken]
        fates = {"taken over": taken, "trained again": again}
        parts = (f"{' and '.join(stages)} {fate}" for fate, stages in fates.items() if stages)
        say(console, f"stages   {', '.join(parts)}")
    for job_name, reason in left_out.items():
        say(console, f"left out {job_name}: {reason}")
    for job in jobs if target.kind == "sweep" else ():
        if job.original.state != "finished":
            say(console, f"partly   {job.original.name}: {_described(job)}")
    show_differences(console, jobs)


def _described(job: Job) -> str:
    """`grpo run, stopped at iteration 3 of 60: what there is of it is compared`"""
    original, unit = job.original, STAGES[job.config.stage].unit
    title = stage_title(job.config.plain(), original.stage)
    standing = f"{title} {'stage' if original.is_artifact else 'run'}, {original.state}"
    if original.state == "finished":
        return standing
    reached = original.status.get("iteration", 0)
    return (
        f"{standing} at {unit} {reached} of {original.status.get('iterations', '?')}:"
        " what there is of it is compared"
    )


def _seconds(jobs: Sequence[Job]) -> float:
    """The seconds that the originals took, shared stages once."""
    places = {
        place
        for job in jobs
        for place in (job.original.directory, *map(job.artifact, job.parents))
        if place
    }
    return sum(
        float(row.get("seconds", 0))
        for place in places
        for row in read_jsonl(place / "timings.jsonl")
    )


def show_differences(console: Console, jobs: Sequence[Job]) -> None:
    shared = common(jobs)
    if not shared:
        say(
            console,
            "differs  nothing: config, packages, code, machine, data and stages are as they were",
        )
        return
    say(console, "differs  since then:")
    table = grid("", "what", "then", "now", "")
    for difference, names in shared.items():
        share = (
            ""
            if len(names) == len(jobs)
            else (
                f"{len(names)} of {plural(len(jobs), 'job')}:"
                f" {names[0]}{', ...' if len(names) > 1 else ''}"
            )
        )
        table.add_row(
            difference.kind,
            difference.name,
            difference.then,
            difference.now,
            "; ".join(filter(None, [difference.note, share])),
        )
    console.print(table, markup=False)


def show_results(
    console: Console, target: Target, jobs: Sequence[JobComparison], *, every: bool
) -> None:
    """A row per stage of a single run; of a sweep a row per stage that it stands on and per job."""
    console.print()
    sweep = target.kind == "sweep"
    table = grid(
        "", "iterations", "metrics", "weights", "samples", "first to differ", right=("iterations",)
    )
    shared = {
        (stage.stage, stage.then, stage.now): stage for job in jobs for stage in job.stages[:-1]
    }
    for stage in shared.values():
        short = f" {stage.now.name[:8]}" if sweep and stage.now else ""
        table.add_row(*_row(f"{stage.stage}{short}", stage))
    for job in jobs:
        cells = _row(job.job.original.name if sweep else job.own.stage, job.own)
        table.add_row(*cells, style=None if job.finished else "red")
    console.print(table)
    rows = [
        (job, stage, metric)
        for job in jobs
        for stage in job.stages
        for metric in (stage.metrics if every else stage.off)
    ]
    if rows and (every or not sweep):
        _show_metrics(console, rows, every=every, sweep=sweep)


def _row(name: str, stage: StageComparison) -> list[str]:
    if not stage.compared:
        return [name, "", stage.note, "", "", ""]
    then, now = stage.iterations
    reached = str(then) if then == now else f"{then} then, {now} now"
    metrics = _equal_or_not(len(stage.off), len(stage.metrics))
    weights = "" if stage.weights is None else "equal" if stage.weights.equal else "differ"
    if stage.weights and stage.weights.max_abs is not None:
        weights += f" by {stage.weights.max_abs:.2g}"
    samples = _equal_or_not(stage.samples.differing, stage.samples.rows) if stage.samples else ""
    first = f"{stage.off[0].name} at {stage.off[0].first}" if stage.off else ""
    return [name, reached, metrics, weights, samples, first]


def _equal_or_not(differing: int, count: int) -> str:
    return f"{differing} of {count} differ" if differing else f"{count} equal"


def _show_metrics(
    console: Console,
    rows: Sequence[tuple[JobComparison, StageComparison, MetricComparison]],
    *,
    every: bool,
    sweep: bool,
) -> None:
    numbers = ("from", "differs at", "by at most", "relative")
    table = grid(*(("job",) if sweep else ()), "stage", "metric", *numbers, right=numbers)
    for job, stage, metric in rows if every else rows[:MOST]:
        off = ["", "", "equal", ""]
        if not metric.equal:
            off = [
                str(metric.first),
                f"{metric.differing} of {metric.compared}",
                f"{metric.max_abs:.3g}",
                f"{metric.max_rel:.2g}",
            ]
        table.add_row(*([job.job.original.name] if sweep else []), stage.stage, metric.name, *off)
    console.print()
    console.print(table)
    if len(rows) > MOST and not every:
        say(console, f"and {len(rows) - MOST} more: --all lists them")
