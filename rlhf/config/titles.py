"""The names by which people tell the runs of a sweep apart, and the question that a sweep asks.
Read from the sweep's own directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlhf.config.plugins.folders import conf_folders
from rlhf.config.stages import decides
from rlhf.rundir.paths.points import path_of
from rlhf.rundir.read import read_json
from rlhf.rundir.secrets.redact import redact_override


def varied(directory: Path) -> dict[str, str]:
    """Of what its sweep varies, the part that the job in `directory` has: `kl.coef`: 0.1. Empty
    where it is no job of a sweep. A path's points have what the path's run has.

    An override that all jobs share is left out only if the sweep's command has it too: the first
    job of a search shares all of its own.
    """
    directory = path_of(directory) or directory
    listed = read_json(directory.parent / "sweep.json")
    jobs = {job["name"]: list(map(str, job["overrides"])) for job in listed.get("jobs", ())}
    shared = set(listed.get("overrides", ())).intersection(*jobs.values())
    own = [
        redact_override(line).lstrip("+").partition("=")
        for line in jobs.get(directory.name, ())
        if line not in shared
    ]
    return {
        key.replace("/", "."): value
        for key, mark, value in own
        if mark and decides(key.replace("/", "."))
    }


def setting(flat: Mapping[str, Any], varies: Mapping[str, str]) -> str:
    """`kl.coef=0.05 pid lr=0.001`: the algorithm unless it is ppo, coefficient, controller unless
    it is fixed everywhere, what else the sweep varies.

    The same for all seeds. `flat` has pieces by name (`naming.named_flat`). A key is cut to its
    last part where that is clear.
    """
    controller = flat["kl.controller"]
    algorithm = str(flat.get("algorithm", "ppo")).rpartition(".")[2]
    parts = [
        *([algorithm] if algorithm != "ppo" and "algorithm" not in varies else []),
        f"kl.coef={flat['kl.coef']:g}",
        *([controller] if controller != "fixed" or "kl.controller" in varies else []),
    ]
    others = {
        key: value
        for key, value in varies.items()
        if key not in ("kl.coef", "kl.controller", "seed")
    }
    last = Counter(key.rpartition(".")[2] for key in others)
    named = {key: short if last[short := key.rpartition(".")[2]] == 1 else key for key in others}
    return " ".join([*parts, *(f"{named[key]}={value}" for key, value in others.items())])


def run_label(flat: Mapping[str, Any], varies: Mapping[str, str]) -> str:
    return f"{setting(flat, varies)} seed={flat['seed']}"


def question(overrides: Iterable[str]) -> str | None:
    """The question that the experiment file of a sweep opens with, if the sweep is one of ours or
    of an installed plugin's."""
    pairs = (line.lstrip("+").partition("=") for line in overrides)
    paths = (
        folder / "experiment" / f"{name}.yaml"
        for key, _, name in pairs
        if key == "experiment"
        for folder in conf_folders().paths
    )
    comments = (
        line.removeprefix("# ")
        for path in filter(Path.is_file, paths)
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("# ") and "@package" not in line
    )
    return next(comments, None)
