"""The screen of `rlhf plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhf.commands.parts.listed.tables import console as wide
from rlhf.rundir.disk.space import amount
from rlhf.rundir.words import about, plural, shortened

WORDS = {"nothing": "be left as it is", "mend": "be put in order"}
TOTAL = {
    "nothing": "finished",
    "mend": "finished, to be put in order",
    "resume": "would go on",
    "start": "would start",
    "wait": "at work",
    "be refused": "would be refused",
}
COLOURS = {"nothing": "green", "be refused": "red", "resume": "yellow", "wait": "yellow"}
NAME = 44  # characters of a run's name at most


def screen(report: Mapping[str, Any], lines: Sequence[str], console: Console | None = None) -> None:
    """The runs, a line each; the stages that they share; what one needs, and all of them.

    Args:
        lines: what the run needs that needs most.
    """
    console = console or wide()
    command, jobs = report["command"], report["jobs"]
    console.print(escape(_heading(command, jobs)), soft_wrap=True, highlight=False)
    if jobs:
        console.print(_table(jobs))
    for warning in command["warnings"]:
        console.print(f"[yellow]warning: {escape(warning)}[/yellow]", soft_wrap=True)
    below = Table(box=None, pad_edge=False, show_header=False)
    below.add_column(no_wrap=True, style="bold")
    below.add_column(overflow="fold")
    for name, words in (*_stages(report["stages"]), *_largest(lines, jobs), *_all(report)):
        below.add_row(name, escape(words))
    console.print(below)


def _heading(command: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]]) -> str:
    if command["sweep"] is None:
        return f"a run in {command['directory']}"
    start = f"sweep {command['sweep']} in {command['directory']}: "
    if command["trials"] is not None:
        return (
            f"{start}a search of up to {plural(command['trials'], 'trial')}, which are chosen as it"
            " goes; below are those that were checked, and what one such run needs"
        )
    names = {job["name"] for job in jobs}
    twice = len(jobs) - len(names)
    again = f"; {twice} more would be the same runs again" if twice else ""
    return f"{start}{plural(len(names), 'job')}{again}"


def _table(jobs: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    columns = ["job", "settings", "state", "would"]
    stages = list(dict.fromkeys(name for job in jobs for name in job["stages"]))
    for name in (*columns, *(stage.replace("_", " ") for stage in stages)):
        table.add_column(name, no_wrap=name != "settings", overflow="fold")
    common = set.intersection(*(set(job["overrides"]) for job in jobs)) if len(jobs) > 1 else set()
    distinct = {job["name"]: job for job in jobs}
    for name, job in zip(shortened([*distinct], NAME), distinct.values(), strict=True):
        words = " ".join(word for word in job["overrides"] if word not in common)
        colour = COLOURS.get(job["would"], "default")
        table.add_row(
            escape(name),
            escape(words),
            job["state"],
            f"[{colour}]{escape(_would(job))}[/{colour}]",
            *(job["stages"].get(stage, "") for stage in stages),
        )
    return table


def _would(job: Mapping[str, Any]) -> str:
    if job["would"] in ("resume", "wait"):
        verb = "go on" if job["would"] == "resume" else "wait for it; it is"
        of = f" of {job['iterations']}" if job["iterations"] else ""
        return f"{verb} at iteration {job['iteration']}{of}" if of else verb
    return WORDS.get(job["would"], str(job["would"]))


def _stages(stages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for stage in stages:
        needed = f"for {plural(stage['runs'], 'run')}"
        where = f": {', '.join(stage['artifacts'])}" if stage["artifacts"] else ""
        once = "to train once" if stage["known"] == "to train" else stage["known"]
        yield stage["name"].replace("_", " "), f"{once} {needed}{where}"


def _largest(lines: Sequence[str], jobs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    name = "the run" if len(jobs) < 2 else "the largest"
    for line in lines:
        yield name, line
        name = ""


def _all(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """In all, of the runs that are missing."""
    total = report["totals"]
    if report["command"]["trials"] is not None or total["runs"] < 2:
        return
    counts = ", ".join(f"{n} {TOTAL.get(would, would)}" for would, n in total["would"].items())
    at_once = f"; {total['at_once']} at a time" if total["at_once"] > 1 else ""
    yield "in all", f"jobs     {counts}{at_once}"
    if total["unknown"]:
        yield (
            "",
            f"unknown  the model of {plural(total['unknown'], 'run')}, of which nothing counts",
        )
    if total["memory"]:
        yield "", f"memory   about {amount(total['memory'])} at a time"
    if total["disk"]:
        least = f"{amount(total['kept'])} stay" if total["kept"] else "nothing stays"
        words = f"{least}, up to {amount(total['disk'])} at one time with checkpoints"
        yield "", f"disk     {words}"
    if total["responses"]:
        yield "", f"drawn    {total['responses']:,} responses"
    if total["work"]:
        low, high = map(about, total["wall"])
        one = " to ".join(map(about, total["work"]))
        after = f" ({one} one after the other)" if total["at_once"] > 1 else ""
        yield "", f"time     {low} to {high}, roughly{after}"
