"""Frontiers of text, where rewards and KL are sampled.

    python -m benchmarks.frontier sampled                            # data=reviews, three seeds
    python -m benchmarks.frontier sampled --data rt_polarity --ways independent path realign
    python -m benchmarks.frontier sampled --ways independent path variants realign --seeds 0 1 2
    python -m benchmarks.frontier sampled --ways variants --variants 'shorter points'

Everything happens in one folder (`--folder`): SFT and reward model are trained once and are no part
of a cost. The same command goes on where it was, and keeps the costs of what is done.

- independent: a run at each coefficient, ppo.iterations=40
- path: one run from the largest coefficient to the smallest in one point more, ppo.iterations=20
- variants: the path with other settings (`VARIANTS`), all or those of --variants
- realign: `rlhf realign` of two independent runs of each seed

A cost is CPU seconds of all processes of the commands, one thread each, with the comparison at each
sweep's end.

**At matched KL**: of each seed the reward of a policy less what the independent runs of that seed
have at its KL (between two of them linear in sqrt(KL), from SFT at 0), then the mean over seeds
with its 95 % t interval.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.frontier.matched import Difference, difference, reward_at
from benchmarks.speed import one_thread
from benchmarks.speed.commands import cost_of
from benchmarks.speed.report import machine, show, table
from rlhf.compare.read import Run, load
from rlhf.kl.grid import grid_of

KL = "kl/sequence_nats"
COEFS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01)
ANCHORS = (0.3, 0.1)  # of the runs that are realigned
LAMBDAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
DATA: dict[str, list[str]] = {"reviews": [], "rt_polarity": ["experiment=rt_polarity_kl_sweep"]}
VARIANTS: dict[str, list[str]] = {
    "5 points": ["kl.controller.points=5"],
    "17 points": ["kl.controller.points=17"],
    "settled sooner": ["kl.controller.at_least=4", "kl.controller.window=4"],
    "settled more easily": ["kl.controller.tolerance=2"],
    "never settled early": ["kl.controller.tolerance=0", "ppo.iterations=10"],
    "shorter points": [
        *("kl.controller.tolerance=0", "kl.controller.shrink=0.8", "ppo.iterations=22"),
        "evaluation.every=20",  # and at the end of each point
    ],
    "learning rate restarted": ["kl.controller.restart_lr=true"],
    "optimizer reset": ["kl.controller.keep_optimizer=false"],
    "value model reset": ["kl.controller.keep_values=false"],
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One policy of a frontier, of one seed."""

    label: str  # the same for all seeds
    seed: int
    numbers: Mapping[str, Any]  # KL and rewards, by the names of a summary

    @property
    def kl(self) -> float:
        return float(self.numbers[KL])


def sweep_words(name: str, data: str, seeds: Sequence[int], words: Sequence[str]) -> list[str]:
    common = ["hydra.mode=MULTIRUN", "study=frontier", f"sweep={name}", "best_of_n=none"]
    return [*DATA[data], *common, f"seed={','.join(map(str, seeds))}", *words]


def path_words(coefs: Sequence[float]) -> list[str]:
    ends = [f"kl.controller.start={max(coefs):g}", f"kl.coef={min(coefs):g}"]
    number = f"kl.controller.points={len(coefs) + 1}"
    return ["kl/controller=path", *ends, number, "ppo.iterations=20"]


def upwards(coefs: Sequence[float]) -> list[str]:
    """The path's own coefficients, backwards."""
    grid = grid_of(min(coefs), start=max(coefs), points=len(coefs) + 1)[::-1]
    return [f"kl.coef={grid[-1]:g}", f"kl.controller.grid=[{','.join(f'{c:g}' for c in grid)}]"]


class Costs:
    """CPU seconds of commands, kept in the folder: a command that is done is not run again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "costs.json"
        self.seconds: dict[str, float] = {}
        if self.file.exists():
            self.seconds = json.loads(self.file.read_text())

    def of(self, name: str, words: Sequence[str]) -> float:
        if name not in self.seconds:
            self.seconds[name] = cost_of(words, self.folder).cpu
            self.file.write_text(json.dumps(self.seconds, indent=2))
        return self.seconds[name]


def policies_of(runs: Sequence[Run]) -> Iterator[Policy]:
    for run in runs:
        if run.finished:
            label, seed = f"{run.summary['kl.coef']:g}", int(run.summary["seed"])
            yield Policy(label=label, seed=seed, numbers=run.summary)


def realigned(run: Run) -> Iterator[tuple[str, Policy]]:
    """(how, policy) of each lambda of a run."""
    written = json.loads((run.directory / "realign.json").read_text())
    for curve in written["curves"]:
        for point in curve["points"]:
            label = f"{run.summary['kl.coef']:g}, lambda {point['lambda']:g}"
            yield curve["by"], Policy(label=label, seed=int(run.summary["seed"]), numbers=point)


def rewards_of(policies: Sequence[Policy]) -> list[str]:
    return sorted(
        {
            name
            for policy in policies
            for name in policy.numbers
            if name.startswith("reward/") and not name.endswith("_se")
        }
    )


def curves_of(independent: Sequence[Policy], reward: str) -> dict[int, list[tuple[float, float]]]:
    """Of each seed the independent runs' curve, SFT at 0."""
    curves: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for policy in independent:
        curves[policy.seed].append((policy.kl, float(policy.numbers[reward])))
        start = (0.0, float(policy.numbers[f"sft/{reward}"]))
        if start not in curves[policy.seed]:
            curves[policy.seed].append(start)
    return curves


def against(
    policies: Sequence[Policy], curves: Mapping[int, Sequence[tuple[float, float]]], reward: str
) -> Difference | None:
    """Of the policies of one label: above (+) or below (-) the independent runs at their KL."""
    each = []
    for policy in policies:
        level = reward_at(curves[policy.seed], policy.kl)
        if level is not None:
            each.append(float(policy.numbers[reward]) - level)
    return difference(each)


def by_label(policies: Sequence[Policy]) -> dict[str, list[Policy]]:
    groups: dict[str, list[Policy]] = defaultdict(list)
    for policy in policies:
        groups[policy.label].append(policy)
    return dict(sorted(groups.items(), key=lambda item: statistics.fmean(p.kl for p in item[1])))


def spread(numbers: Sequence[float]) -> str:
    return f"{statistics.fmean(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"


def rows_of(
    policies: Sequence[Policy], independent: Sequence[Policy], rewards: Sequence[str]
) -> Iterator[list[Any]]:
    curves = {reward: curves_of(independent, reward) for reward in rewards}
    for label, group in by_label(policies).items():
        cells: list[Any] = [label, len(group), spread([p.kl for p in group])]
        for reward in rewards:
            cells.append(spread([float(p.numbers[reward]) for p in group]))
            if policies is not independent:
                compared = against(group, curves[reward], reward)
                outside = "" if compared is None or compared.holds_zero else " *"
                cells.append("-" if compared is None else f"{compared}{outside}")
        yield cells


def show_policies(
    title: str, policies: Sequence[Policy], independent: Sequence[Policy], rewards: Sequence[str]
) -> None:
    heads = ["coefficient", "n", "KL, nats"]
    for reward in rewards:
        heads.append(reward.removeprefix("reward/"))
        heads += [] if policies is independent else ["at matched KL"]
    show(f"{title} (mean, smallest to largest over the seeds):\n")
    show(table(heads, rows_of(policies, independent, rewards)))


def summary_of(
    policies: Sequence[Policy], independent: Sequence[Policy], rewards: Sequence[str]
) -> list[str]:
    """Of each reward: in how many places it was compared, and how often the interval leaves 0 out,
    above and below; and the mean difference of all of them."""
    cells = []
    for reward in rewards:
        curves = curves_of(independent, reward)
        all_of = [against(g, curves, reward) for g in by_label(policies).values()]
        there = [each for each in all_of if each is not None]
        above = sum(not d.holds_zero and d.mean > 0 for d in there)
        below = sum(not d.holds_zero and d.mean < 0 for d in there)
        mean = statistics.fmean(d.mean for d in there) if there else float("nan")
        cells.append(f"{mean:+.2f}; {above} above, {below} below of {len(there)}")
    return cells


def iterations_of(runs: Sequence[Run]) -> int:
    """All that a sweep drew, of a path the whole path's alone."""
    whole = [run for run in runs if run.finished and not is_earlier_point(run)]
    return sum(int(run.summary["iterations"]) for run in whole)


def is_earlier_point(run: Run) -> bool:
    path = run.summary.get("path")
    return path is not None and path["point"] + 1 < path["points"]


def main(args: argparse.Namespace) -> None:
    one_thread()
    show(f"{machine()}\n")
    folder = (args.folder / args.data).resolve()
    costs = Costs(folder)
    seeds, own = args.seeds, list(args.words)

    def made(name: str, words: Sequence[str]) -> tuple[list[Run], float]:
        seconds = costs.of(name, sweep_words(name, args.data, seeds, [*words, *own]))
        return load(folder / "sweeps" / name), seconds

    costs.of(
        "stages", sweep_words("stages", args.data, [0], ["stage=reward_model", "kl.coef=0.1", *own])
    )
    runs, seconds = made(
        "independent", [f"kl.coef={','.join(f'{c:g}' for c in args.coefs)}", "ppo.iterations=40"]
    )
    independent = list(policies_of(runs))
    rewards = rewards_of(independent)
    show_policies("Independent runs", independent, independent, rewards)
    ways = [["independent", iterations_of(runs), f"{seconds:.0f}", "", *[""] * len(rewards)]]

    def told(name: str, policies: list[Policy], iterations: Any, cpu: float) -> None:
        show_policies(name, policies, independent, rewards)
        share = f"{cpu / seconds:.2f}"
        ways.append(
            [name, iterations, f"{cpu:.0f}", share, *summary_of(policies, independent, rewards)]
        )

    if "path" in args.ways:
        there, cpu = made("path", path_words(args.coefs))
        told("path", list(policies_of(there)), iterations_of(there), cpu)
    if "variants" in args.ways:
        variants = {**VARIANTS, "upwards": upwards(args.coefs)}
        for name, words in ((name, variants[name]) for name in args.variants):
            there, cpu = made(f"path-{name.replace(' ', '-')}", [*path_words(args.coefs), *words])
            told(f"path, {name}", list(policies_of(there)), iterations_of(there), cpu)
    if "realign" in args.ways:
        realign(runs, costs, told)
    heads = ["way", "iterations, all seeds", "CPU-s, all seeds", "of independent"]
    show("All ways (mean difference at matched KL; how many of the 95 % intervals leave 0 out):\n")
    show(table([*heads, *(r.removeprefix("reward/") for r in rewards)], ways))


def realign(
    runs: Sequence[Run],
    costs: Costs,
    told: Callable[[str, list[Policy], Any, float], None],
) -> None:
    lambdas = ",".join(f"{x:g}" for x in LAMBDAS)
    for anchor in ANCHORS:
        chosen = [run for run in runs if run.summary.get("kl.coef") == anchor]
        curves: dict[str, list[Policy]] = defaultdict(list)
        for run in chosen:
            words = ["realign", str(run.directory), "--lambda", lambdas]
            costs.of(f"realign {run.name}", words)
            for how, policy in realigned(run):
                curves[how].append(policy)
        for how, policies in curves.items():
            cpu = sum(
                json.loads((run.directory / "realign.json").read_text())["timings"][how]
                for run in chosen
            )
            told(f"{how} of {anchor:g}", policies, 0, cpu)
