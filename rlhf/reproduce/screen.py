"""What a person sees: what differs already, what will be done, and how it came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.reproduce.check import Job, common
from rlhf.reproduce.numbers import MetricComparison
from rlhf.reproduce.place import Place, reusable
from rlhf.reproduce.target import Original, Target
from rlhf.reproduce.verdict import UNIT, JobComparison, StageComparison
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.words import duration, plural

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MOST = 12  # metrics that the table lists; reproduction.json has all


def grid(*columns: str, right: Sequence[str] = ()) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def say(console: Console, text: str = "") -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def show_plan(
    console: Console,
    target: Target,
    jobs: Sequence[Job],
    skipped: Sequence[Original],
    place: Place,
    *,
    reuse: bool,
    name: Callable[[Path], str],
) -> None:
    """`name` writes a path as the user would."""
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
        made = [stage for stage in parents if stage not in taken]
        said = [f"{' and '.join(taken)} taken over"] if taken else []
        said += [f"{' and '.join(made)} trained again"] if made else []
        say(console, f"stages   {', '.join(said)}")
    for original in skipped:
        say(
            console, f"left out {original.name}: it had not begun, there is nothing to compare with"
        )
    if target.kind == "sweep":
        for job in (job for job in jobs if job.original.state != "finished"):
            say(console, f"partly   {job.original.name}: {_described(job)}")
    show_differences(console, jobs)


def _described(job: Job) -> str:
    """`ppo run, stopped at iteration 3 of 60: what there is of it is compared`"""
    original = job.original
    kind = f"{original.stage} stage" if original.is_artifact else f"{original.stage} run"
    if original.state == "finished":
        return f"{kind}, finished"
    reached = original.status.get("iteration", 0)
    unit = UNIT.get(job.config.stage, "epoch")
    return (
        f"{kind}, {original.state} at {unit} {reached} of {original.status.get('iterations', '?')}:"
        " what there is of it is compared"
    )


def _seconds(jobs: Sequence[Job]) -> float:
    """What the originals took, shared stages once."""
    places = {
        place
        for job in jobs
        for place in (job.original.directory, *map(job.artifact, job.parents))
        if place is not None
    }
    return sum(
        float(row.get("seconds", 0))
        for place in places
        for row in read_jsonl(place / "timings.jsonl")
    )


def show_differences(console: Console, jobs: Sequence[Job]) -> None:
    found = common(jobs)
    if not found:
        say(
            console,
            "differs  nothing: config, packages, code, machine, data and stages are as they were",
        )
        return
    say(console, "differs  since then:")
    table = grid("", "what", "then", "now", "")
    for difference, names in found.items():
        share = (
            ""
            if len(names) == len(jobs)
            else (
                f"{len(names)} of {plural(len(jobs), 'job')}:"
                f" {names[0]}{', ...' if len(names) > 1 else ''}"
            )
        )
        note = "; ".join(filter(None, [difference.note, share]))
        table.add_row(difference.kind, difference.name, difference.then, difference.now, note)
    console.print(table, markup=False)


def show_results(
    console: Console, target: Target, made: Sequence[JobComparison], *, every: bool
) -> None:
    """A row per stage of a single run; of a sweep a row per stage that it stands on and per job."""
    console.print()
    table = grid(
        "", "iterations", "metrics", "weights", "samples", "first to differ", right=("iterations",)
    )
    shared = {
        (found.stage, found.then, found.now): found for job in made for found in job.stages[:-1]
    }
    for found in shared.values():
        table.add_row(
            *_row(
                (
                    found.stage
                    if target.kind != "sweep" or found.now is None
                    else f"{found.stage} {found.now.name[:8]}"
                ),
                found,
            )
        )
    for job in made:
        cells = _row(job.job.original.name if target.kind == "sweep" else job.own.stage, job.own)
        table.add_row(*cells, style=None if job.finished else "red")
    console.print(table)
    rows = [
        (job, found, metric)
        for job in made
        for found in job.stages
        for metric in (found.metrics if every else found.off)
    ]
    if rows and (every or target.kind != "sweep"):
        _show_metrics(console, rows, every=every, sweep=target.kind == "sweep")


def _row(name: str, found: StageComparison) -> list[str]:
    if not found.compared:
        return [name, "", found.note, "", "", ""]
    last = found.iterations
    reached = str(last[0]) if last[0] == last[1] else f"{last[0]} then, {last[1]} now"
    metrics = (
        f"{len(found.off)} of {len(found.metrics)} differ"
        if found.off
        else f"{len(found.metrics)} equal"
    )
    weights = "" if found.weights is None else "equal" if found.weights.equal else "differ"
    if found.weights and found.weights.max_abs is not None:
        weights += f" by {found.weights.max_abs:.2g}"
    samples = (
        "" if found.samples is None else f"{found.samples.differing} of {found.samples.rows} differ"
    )
    if found.samples and not found.samples.differing:
        samples = f"{found.samples.rows} equal"
    first = f"{found.off[0].name} at {found.off[0].first}" if found.off else ""
    return [name, reached, metrics, weights, samples, first]


def _show_metrics(
    console: Console,
    rows: Sequence[tuple[JobComparison, StageComparison, MetricComparison]],
    *,
    every: bool,
    sweep: bool,
) -> None:
    numbers = ("from", "differs at", "by at most", "relative")
    table = grid(*(("job",) if sweep else ()), "stage", "metric", *numbers, right=numbers)
    for job, found, metric in rows if every else rows[:MOST]:
        off = ["", "", "equal", ""]
        if not metric.equal:
            off = [
                str(metric.first),
                f"{metric.differing} of {metric.compared}",
                f"{metric.max_abs:.3g}",
                f"{metric.max_rel:.2g}",
            ]
        table.add_row(*([job.job.original.name] if sweep else []), found.stage, metric.name, *off)
    console.print()
    console.print(table)
    if len(rows) > MOST and not every:
        say(console, f"and {len(rows) - MOST} more: --all lists them")
