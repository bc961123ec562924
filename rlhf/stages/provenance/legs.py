"""The legs of a training: each stretch that one process made of it, from which iteration and under
which code, packages and machine. A run that was cut has several, and keeps them all."""

from __future__ import annotations

import logging
import platform
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from rlhf.callbacks.checkpoint import Start, choose, iteration_of, set_aside
from rlhf.rundir.disk.sealed import read_sealed, write_sealed
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import write_json
from rlhf.rundir.noted import write_manifest
from rlhf.rundir.read import read_json
from rlhf.rundir.records import contents, last_recorded, missing_rows
from rlhf.stages.provenance import manifest

log = logging.getLogger(__name__)

Leg = Mapping[str, Any]

FILE = "legs.json"
DEVICES = "number of devices"
MADE_BY = ("versions", "git", "hardware")  # of a manifest: its first leg's
# packages whose version can change the numbers
NUMERIC = ("rlhf", "python", "torch", "transformers", "pytorch-lightning", "tokenizers", "numpy")


@cache
def processor() -> str:
    """The processor's name, as Linux tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def starting_point(directory: Path, unit: str = "iteration") -> Start:
    """The checkpoint that training goes on from. Those that cannot be used are set aside, and it is
    said which, why, and what is made again."""
    start = choose(directory)
    reached = max([last_recorded(directory), *map(iteration_of, start.refused)])
    for path, reason in start.refused.items():
        log.warning("%s is not used: %s; set aside as %s", path, reason, set_aside(path).name)
    again = f"{unit}s {start.iteration + 1} to {reached} are made again"
    if start.path is None and reached > 0:
        log.warning(
            "%s begins again at %s 0, as no checkpoint of it can be used: %s",
            *(directory, unit, again),
        )
    elif start.refused:
        log.warning("%s goes on from %s %d: %s", directory, unit, start.iteration, again)
    return start


def begin(
    directory: Path, start: Start, *, config_hash: str, unit: str = "iteration", devices: int = 1
) -> None:
    """Adds a leg to those of the training in `directory`, in legs.json and in its manifest. Says it
    where the legs together may give other numbers than one would. `devices`: that share the rows of
    each batch."""
    new = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "from_iteration": start.iteration,
        "checkpoint": None if start.path is None else start.path.name,
        "refused": {path.name: reason for path, reason in start.refused.items()},
        "host": socket.gethostname(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "devices": devices,
        "config_hash": config_hash,
        **{part: getattr(manifest, part)() for part in MADE_BY},
    }
    legs = [*read(directory), new]
    write_sealed(directory / FILE, {"legs": legs})
    path = directory / "manifest.json"
    if path.exists():
        content = {**read_json(path), **provenance(legs)}
        # an artifact's is sealed when it is published
        (write_manifest if content.get("kind") == "run" else write_json)(path, content)
    if differing := differences(legs):
        log.warning("%s", sentence(directory, start.iteration, unit, differing))


def check_records(directory: Path, iteration: int) -> None:
    """Raises RunFailed where rows were lost while the training was at work."""
    if lacking := missing_rows(contents(directory), iteration):
        raise RunFailed(
            f"{directory} lost records while it trained: {lacking}. The same command makes them"
            " again, from a checkpoint that has them or from the beginning"
        )


def sentence(directory: Path, iteration: int, unit: str, differing: Sequence[str]) -> str:
    why = ""
    if any(each.startswith(DEVICES) for each in differing):
        why = (
            ". Sums over rows are made in another order on another number of devices, so losses,"
            " gradients and weights differ in their last digits, and so may a draw at a tie"
        )
    return (
        f"{directory} goes on from {unit} {iteration} under another {'; '.join(differing)}: its"
        " numbers may differ from those of a run that nobody stopped (exact_resume=false in its"
        f" manifest and summary){why}"
    )


def read(directory: Path) -> list[dict[str, Any]]:
    """The legs until now. Of a run that an older version began, the one that its manifest tells
    of."""
    begun = read_json(directory / "manifest.json")
    legs = read_sealed(directory / FILE).get("legs", begun.get("legs"))
    if isinstance(legs, list):
        whole = (leg for leg in legs if isinstance(leg, dict))
        return [leg for leg in whole if isinstance(leg.get("from_iteration"), int)]
    if begun.get("kind") != "run" or "versions" not in begun:
        return []
    return [{"from_iteration": 0, **{part: begun.get(part, {}) for part in MADE_BY}}]


def counting(legs: Sequence[Leg]) -> list[Leg]:
    """The legs of which something is left: one that began at or before the first iteration of an
    earlier leg has made all of that again."""
    kept: list[Leg] = []
    for leg in legs:
        first = leg["from_iteration"]
        kept = [*(earlier for earlier in kept if earlier["from_iteration"] < first), leg]
    return kept


def differences(legs: Sequence[Leg]) -> list[str]:
    """What can change numbers and was not the same in all legs that count: `torch (2.9.1, then
    2.10.0)`."""
    facts = [_facts(leg) for leg in counting(legs)]
    names = dict.fromkeys(name for each in facts for name in each)
    values = {n: list(dict.fromkeys(each[n] for each in facts if n in each)) for n in names}
    differing = [f"{n} ({', then '.join(seen)})" for n, seen in values.items() if len(seen) > 1]
    if first := next((leg["from_iteration"] for leg in counting(legs)), 0):
        differing.append(f"code or machine, perhaps: nothing tells what made the first {first}")
    return differing


def _facts(leg: Leg) -> dict[str, str]:
    """What can change numbers, as far as the leg tells it."""
    written = (leg.get(part) for part in MADE_BY)
    versions, git, machine = (part if isinstance(part, dict) else {} for part in written)
    facts = {name: versions.get(name) for name in NUMERIC}
    if git:
        changes = f" with changes {str(git.get('changes'))[:8]}" if git.get("dirty") else ""
        facts["code revision"] = f"{str(git.get('revision'))[:12]}{changes}"
    facts |= {"processor": leg.get("processor"), "threads": leg.get("threads")}
    facts[DEVICES] = leg.get("devices", 1)  # one, before there were several
    facts |= {"kind of processor": machine.get("cpu"), "GPU": machine.get("gpu")}
    return {name: str(value) for name, value in facts.items() if value is not None}


def provenance(legs: Sequence[Leg]) -> dict[str, Any]:
    """What a manifest says of them: all legs; the packages, code and machine of the first that
    counts; `exact_resume`, whether together they give what one would have."""
    if not legs:
        return {"legs": []}
    first, differing = counting(legs)[0], differences(legs)
    return {
        **{part: first.get(part, {}) for part in MADE_BY},
        "exact_resume": not differing,
        **({"resumed_under_another": differing} if differing else {}),
        "legs": list(legs),
    }
