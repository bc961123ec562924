"""The config keys in which runs differ, by run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.compare.read.runs import Run
from rlhf.config.stages import decides
from rlhf.rundir.secrets.redact import redact_value

ABSENT, ALGORITHM = "-", "algorithm"
KL = ("kl.controller", "kl.coef")
FIRST = (ALGORITHM, *KL, "kl.estimator", "kl.placement", "kl.reference")
# the coefficients of a KL path to a run, whose last is `kl.coef`, and what they come with; the
# iterations of a path are at each of its points, another quantity than those of other runs
LENGTH = "ppo.iterations"
WAYS = {"kl.controller.grid": KL, LENGTH: KL[:1]}

Table = Mapping[str, Mapping[str, Any]]  # config key -> {run name: value}


def differing(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Config keys that differ: key -> {run name: value}. Secrets are hidden, by their key and in
    addresses: what differs in nothing else is left out.

    A key that comes with a piece (the target that only adaptive controllers have) is left out while
    it has one value for each piece; the way of a KL path to its coefficient while that is one for
    each coefficient. Of keys that differ alike the first stands for all, but for the algorithm,
    beside which `brought` has them.
    """
    runs = [run for run in runs if run.config]
    pieces = frozenset[str]().union(*(run.pieces for run in runs))
    keys = {key for run in runs for key in run.config if key != "seed" and decides(key)}
    table: dict[str, dict[str, Any]] = {}
    for key in sorted(keys, key=lambda k: (FIRST.index(k) if k in FIRST else len(FIRST), k)):
        # where only some runs have a piece, the others have none
        having = [run for run in runs if key in (run.pieces if key in pieces else run.config)]
        if len(having) == len(runs) and len({repr(run.config[key]) for run in having}) == 1:
            continue  # as most keys are, in every run
        values = dict.fromkeys((run.name for run in runs), ABSENT) | {
            run.name: redact_value(key, run.config[key]) for run in having
        }
        if len(set(map(plain, values.values()))) > 1:
            table[key] = values
    several = "path" in table.get("kl.controller", {}).values()
    for key, owners in WAYS.items():
        if key in table and (several or key != LENGTH) and _one_for_each(key, owners, table):
            del table[key]
    own = [key for key in table if not _comes_with(key, table, pieces)]
    return {
        key: table[key]
        for i, key in enumerate(own)
        if all(table[key] != table[other] for other in own[:i] if other != ALGORITHM)
    }


def brought(table: Table) -> dict[str, dict[str, Any]]:
    """Of runs of several algorithms: algorithm -> {key: value} of the keys that differ, but not
    among its own runs: what it brings, or was given in each. Empty where all have one algorithm.
    """
    algorithms = table.get(ALGORITHM, {})
    return {
        name: {key: next(iter(own.values())) for key, own in columns.items()}
        for name in dict.fromkeys(algorithms.values())
        if (columns := _alike(table, [run for run in algorithms if algorithms[run] == name]))
    }


def _alike(table: Table, runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The columns of these runs in which they do not differ, the algorithm's own left out."""
    columns = {key: {run: column[run] for run in runs} for key, column in table.items()}
    return {
        key: own
        for key, own in columns.items()
        if key != ALGORITHM and len(set(map(plain, own.values()))) == 1
    }


def _comes_with(key: str, table: dict[str, dict[str, Any]], pieces: frozenset[str]) -> bool:
    """Whether a key has one value for each piece that it belongs to; a function's code for each
    function; what a stage trains for each adapter."""
    node, _, last = key.rpartition(".")
    owners = [piece for piece in sorted(pieces & table.keys()) if key.startswith(f"{piece}.")]
    owners += [f"{node}.function"] if last == "_code_" and f"{node}.function" in table else []
    owners += ["adapter"] if last == "trained" and "adapter" in table else []
    for owner in owners[-1:] if last == "_code_" else owners[:1]:
        pairs = {(plain(name), plain(table[key][run])) for run, name in table[owner].items()}
        return len(pairs) == len({name for name, _ in pairs})
    return False


def _one_for_each(key: str, owners: Sequence[str], table: dict[str, dict[str, Any]]) -> bool:
    """Whether a key has one value for each combination of the owners' values."""
    columns = [table[owner] for owner in owners if owner in table]
    pairs = {
        (*(plain(column[run]) for column in columns), plain(value))
        for run, value in table[key].items()
    }
    return len(pairs) == len({pair[:-1] for pair in pairs})


def plain(value: Any) -> str:
    """Equal for equal values."""
    return json.dumps(value, sort_keys=True, default=str)
