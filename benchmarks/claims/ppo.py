"""PPO's side of a claim: `rlhf experiment=claims/<name>`, and what its runs reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.claims.problems import across
from benchmarks.claims.tables import Shown
from benchmarks.speed.commands import cost_of
from rlhf.compare.read import Run, load

Key = Callable[[Run], str]
HEADS = ("setting", "problems", "share of the gain, %", "KL, nats", "KL of the optimum")
MORE = ("effective beta", "reward below the frontier", "entropy, nats")


def swept(name: str, folder: Path) -> list[Run]:
    """The finished runs of the claim's experiment, made in the folder where they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    cost_of([f"experiment=claims/{name}", "hydra.launcher.jobs=1", "tracking=none"], folder)
    return [run for run in load(folder / "sweeps" / f"claims_{name}") if run.finished]


def numbers_of(run: Run) -> dict[str, float]:
    of = run.summary
    return {
        "share": 100 * float(of["oracle/share_of_gain"]),
        "kl": float(of["oracle/kl"]),
        "optimum": float(of["oracle/optimum_kl"]),
        "beta": float(of["oracle/effective_beta"]),
        "missing": float(of["oracle/missing_at_kl"]),
        "entropy": float(of["oracle/entropy"]),
    }


def by_setting(runs: Sequence[Run], key: Key) -> dict[str, dict[int, dict[str, float]]]:
    """setting -> problem (data.seed) -> numbers"""
    settings: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
    for run in runs:
        settings[key(run)][int(run.config["data.seed"])] = numbers_of(run)
    return settings


def reached(runs: Sequence[Run], key: Key) -> Shown:
    """What each setting reached, in the mean over problems."""
    rows = []
    for setting, problems in sorted(by_setting(runs, key).items()):
        column = columns(problems.values())
        cells = [across(column["share"], 1), across(column["kl"]), across(column["optimum"])]
        more = [across(column["beta"]), across(column["missing"], 3), across(column["entropy"])]
        rows.append([setting, len(problems), *cells, *more])
    return Shown(title="PPO", heads=[*HEADS, *MORE], rows=rows)


def paired(runs: Sequence[Run], key: Key, first: str, second: str) -> Shown:
    """The second setting less the first, problem by problem."""
    settings = by_setting(runs, key)
    both = sorted(settings[first].keys() & settings[second].keys())
    cells = []
    for name, digits in (("share", 1), ("kl", 2), ("missing", 3), ("entropy", 2)):
        cells.append(
            across([settings[second][n][name] - settings[first][n][name] for n in both], digits)
        )
    heads = ["difference", "problems", "share of the gain, points", "KL, nats"]
    return Shown(
        title=f"PPO, {second} less {first}, problem by problem",
        heads=[*heads, "reward below the frontier", "entropy, nats"],
        rows=[[f"{second} - {first}", len(both), *cells]],
    )


def columns(rows: Sequence[Mapping[str, float]] | object) -> dict[str, list[float]]:
    gathered: dict[str, list[float]] = defaultdict(list)
    for row in rows:  # type: ignore[attr-defined]
        for name, value in row.items():
            gathered[name].append(value)
    return gathered


def pieces(run: Run) -> str:
    """`k1 in reward, coef 0.5`"""
    of = run.config
    return f"{of['kl.estimator']} in {of['kl.placement']}, beta {of['kl.coef']:g}"
