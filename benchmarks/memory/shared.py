"""Frozen weights of several processes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.memory.tables import gigabytes, table
from benchmarks.speed.children import environment


def shared(args: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    """Of one process and of two at a time that have loaded the same folder and read it all: what
    each has in memory (resident), and its part of that where a page counts once (proportional)."""
    for count in (1, 2):
        command = [sys.executable, "-m", "benchmarks.memory", "load", args.folder]
        children = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
            )
            for _ in range(count)
        ]
        pipes = [(child.stdin, child.stdout) for child in children]
        for _, out in pipes:
            assert out is not None and out.readline() == "loaded\n"
        rows = []
        for into, out in pipes:  # all have loaded, and none has ended
            assert into is not None and out is not None
            into.write("measure\n")
            into.flush()
            rows.append(json.loads(out.readline()))
        for child in children:
            child.communicate("end\n")
        yield {"processes": count, **rows[0]}


def load(folder: str) -> None:
    """A process that loads a policy as the reference is, and says what its files take."""
    import torch

    from rlhf.models.load import load_causal_lm

    model = load_causal_lm(folder).requires_grad_(False)
    with torch.no_grad():
        model(input_ids=torch.zeros(1, 2, dtype=torch.long))
    print("loaded", flush=True)
    input()
    print(json.dumps(mapped_files()), flush=True)
    input()


def mapped_files() -> dict[str, int]:
    """Bytes of this process's mapped safetensors, by smaps' names for them."""
    sums = dict.fromkeys(("Rss", "Pss", "Private_Dirty"), 0)
    counts = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if "-" in name.split()[0]:
            counts = line.endswith(".safetensors")
        elif counts and name in sums:
            sums[name] += 1024 * int(rest.split()[0])
    return sums


def show_shared(rows: Iterable[Mapping[str, Any]]) -> None:
    table(
        ("processes at a time", "resident, each", "its part", "written to"),
        (
            (row["processes"], *(gigabytes(row[name]) for name in ("Rss", "Pss", "Private_Dirty")))
            for row in rows
        ),
    )
