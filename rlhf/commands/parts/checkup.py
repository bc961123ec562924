"""The screen of `rlhf doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhf.commands.parts.listed.tables import console as wide
from rlhf.rundir.disk.space import amount
from rlhf.rundir.words import plural, wrapped


def screen(report: dict[str, Any], console: Console | None = None) -> None:
    """A line for each thing, and the verdict last."""
    console = console or wide()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, words, fine in lines(report):
        table.add_row(name, escape(words) if fine else f"[yellow]{escape(words)}[/yellow]")
    console.print(table)
    command = report["command"]
    given = " ".join(command["settings"]) or "the defaults"
    console.print()
    if command["runs"]:
        jobs = "" if command["jobs"] == 1 else f" ({plural(command['jobs'], 'job')})"
        console.print(f"[green]would run[/green]: {escape(given)}{jobs}", soft_wrap=True)
    else:
        console.print(f"[red]would be refused[/red]: {escape(given)}", soft_wrap=True)
    for fault in command["faults"]:
        console.print(f"  {escape(fault)}", soft_wrap=True, highlight=False)
    for line in command["lines"]:
        text = wrapped(f"  {line}", console.width) if console.is_terminal else f"  {line}"
        console.print(escape(text), soft_wrap=True, highlight=False)
    for warning in command["warnings"]:
        console.print(f"[yellow]warning: {escape(warning)}[/yellow]", soft_wrap=True)


def lines(report: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """name, words, whether it is as one would have it"""
    versions = {name: each for name, each in report["versions"].items() if each}
    yield "versions", ", ".join(f"{name} {each}" for name, each in versions.items()), True
    machine, threads = report["machine"], report["threads"]
    used = "" if threads is None else f", of which a run uses {threads} (trainer.threads)"
    yield "machine", f"{machine['system']}, {plural(machine['cores'], 'core')}{used}", True
    if machine["memory"] is not None:
        free = machine["available"]
        now = "" if free is None else f", {amount(free)} available now"
        yield "memory", f"{amount(machine['memory'])}{now}", True
    yield from _gpus(machine)
    for folder, disk in report["disks"].items():
        words = disk["fault"] or f"{amount(disk['free'])} free of {amount(disk['total'])}"
        yield "disk", f"{folder}: {words}", disk["fault"] is None
    if store := report["store"]:
        place = f"{store['uri']}: " if store["uri"] else ""
        yield "MLflow", f"{place}{store['fault'] or store['state']}", store["fault"] is None
    if report["extras"]:
        yield "extras", _extras(report["extras"]), True
    for plugin in report["plugins"]:
        fault = plugin["fault"]
        words = f"{plugin['name']} of {plugin['distribution']} {plugin['version']}"
        yield "plugin", f"{words}: left out: {fault}" if fault else words, fault is None
    yield "hub", report["hub"]["why"], report["hub"]["reachable"]


def _gpus(machine: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for gpu in machine["gpus"]:
        yield "GPU", f"{gpu['name']}, {amount(gpu['memory'])}", True
    if fault := machine["gpu_fault"]:
        why = fault.partition(":")[2].partition("; trainer=cpu")[0].strip()
        yield "GPU", f"none can be used: {why}", not machine["gpus"]


def _extras(lacking: dict[str, list[str]]) -> str:
    here = [name for name, missing in lacking.items() if not missing]
    not_here = [f"{name} ({', '.join(missing)})" for name, missing in lacking.items() if missing]
    parts = [f"installed: {', '.join(here) or 'none'}"]
    if not_here:
        parts.append(f"not installed: {', '.join(not_here)}; pip install 'rlhf[NAME]'")
    return "; ".join(parts)
