"""PPO's side of a claim: `rlhf experiment=claims/<name>`, and what its runs reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, variance

from benchmarks.claims.problems import across
from benchmarks.claims.tables import Shown
from benchmarks.speed.commands import cost_of
from rlhf.compare.read import Run, load

Key = Callable[[Run], str]
HEADS = ("setting", "problems", "share of the gain, %", "KL, nats", "KL of the optimum")
SPREAD = "share, standard deviation over seeds"
MORE = ("effective beta", "reward below the frontier", "entropy, nats")


def swept(name: str, folder: Path, seeds: int = 1) -> list[Run]:
    """The finished runs of the claim's experiment with seeds 0, 1, ..., made in the folder where
    they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    more = [f"seed={','.join(map(str, range(seeds)))}"] if seeds > 1 else []
    words = [f"experiment=claims/{name}", *more, "hydra.launcher.jobs=1", "tracking=none"]
    cost_of(words, folder)
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


def by_problem(runs: Sequence[Run], value: Callable[[Run], float]) -> dict[int, list[float]]:
    """problem (data.seed) -> the value of each of its runs, which differ by their seed"""
    problems: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        problems[int(run.config["data.seed"])].append(value(run))
    return problems


def of_problems(runs: Sequence[Run], value: Callable[[Run], float]) -> list[float]:
    """The value of each problem, the mean over its seeds."""
    return [fmean(values) for values in by_problem(runs, value).values()]


def by_setting(runs: Sequence[Run], key: Key) -> dict[str, dict[int, dict[str, float]]]:
    """setting -> problem (data.seed) -> numbers, means over its seeds"""
    settings: dict[str, dict[int, dict[str, float]]] = {}
    for setting in dict.fromkeys(map(key, runs)):
        groups: dict[int, list[dict[str, float]]] = defaultdict(list)
        for run in runs:
            if key(run) == setting:
                groups[int(run.config["data.seed"])].append(numbers_of(run))
        settings[setting] = {
            problem: {name: fmean(values) for name, values in columns(rows).items()}
            for problem, rows in groups.items()
        }
    return settings


def between_seeds(runs: Sequence[Run]) -> float | None:
    """The standard deviation of the share over a problem's seeds, pooled over problems; None where
    each problem has one seed."""
    problems = by_problem(runs, lambda run: numbers_of(run)["share"]).values()
    variances = [variance(values) for values in problems if len(values) > 1]
    return fmean(variances) ** 0.5 if variances else None


def reached(runs: Sequence[Run], key: Key) -> Shown:
    """What each setting reached, in the mean over problems."""
    rows = []
    for setting, problems in sorted(by_setting(runs, key).items()):
        column = columns(problems.values())
        cells = [across(column["share"], 1), across(column["kl"]), across(column["optimum"])]
        more = [across(column["beta"]), across(column["missing"], 3), across(column["entropy"])]
        spread = between_seeds([run for run in runs if key(run) == setting])
        own = [] if spread is None else [f"{spread:.1f}"]
        rows.append([setting, len(problems), *cells, *more, *own])
    heads = [*HEADS, *MORE, *([SPREAD] if rows and len(rows[0]) > len(HEADS + MORE) else [])]
    return Shown(title="PPO", heads=heads, rows=rows)


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
