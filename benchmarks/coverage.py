"""How often the intervals of a comparison hold what they are of, and how often a comparison claims
what is not so: the functions that write reports, on numbers drawn from known truths.

    python benchmarks/coverage.py [--repeats 4000]

Rewards of runs are normal over seeds. Prints Markdown; tests/compare/statistics/test_coverage.py
holds the same numbers with fewer repeats. A rate of 4000 repeats has a standard error of 0.3 to 0.5
percentage points.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlhf.compare.read import Run
from rlhf.compare.statistics.estimates import difference, interval
from rlhf.compare.statistics.intervals import Answers, like_these
from rlhf.compare.statistics.means import over_runs
from rlhf.compare.statistics.settings import Setting
from rlhf.compare.statistics.verdict import Verdict, judge
from rlhf.metrics import GOLD

SEEDS = (2, 3, 5, 8)
PROMPTS = 64
Draw = Callable[[np.random.Generator], bool]
# standard deviations over settings of equal means, by what they are called
SPREADS: dict[str, Callable[[int], Sequence[float]]] = {
    "equal": lambda k: [1.0] * k,
    "one 3 times the others": lambda k: [3.0] + [1.0] * (k - 1),
    "one 30 times the others": lambda k: [30.0] + [1.0] * (k - 1),
}


def rate(draw: Draw, repeats: int, seed: int = 0) -> float:
    """The share of repeats in which `draw` says yes."""
    random = np.random.default_rng(seed)
    return sum(draw(random) for _ in range(repeats)) / repeats


def one_setting(seeds: int, noise: float = 0.05) -> Draw:
    """The interval of one setting holds its true mean; `noise`: of an evaluation, beside a standard
    deviation of 1 over seeds."""

    def draw(random: np.random.Generator) -> bool:
        values = random.normal(0, np.hypot(1, noise), seeds)
        over = interval(values.tolist(), [noise] * seeds)
        return over.low <= 0 <= over.high

    return draw


def two_settings(seeds: tuple[int, int], ratio: float = 1.0) -> Draw:
    """Two equal settings are told apart; `ratio`: the second's standard deviation to the first's,
    as a single run of it would have too."""

    def draw(random: np.random.Generator) -> bool:
        a, b = (random.normal(0, s, n).tolist() for n, s in zip(seeds, (1, ratio), strict=True))
        return difference(a, [0.05] * len(a), b, [0.05] * len(b)).clear_of_zero

    return draw


def like_prompts(seeds: int, seed_sd: float) -> Draw:
    """The interval for prompts like these holds the mean over all prompts. Prompts have a standard
    deviation of 1, a run at a prompt one of 1, runs one of `seed_sd`."""

    def draw(random: np.random.Generator) -> bool:
        those = _answers(random, random.normal(0, 1, PROMPTS), seeds, seed_sd)
        over = like_these(float(those.values.mean()), those)
        return over.low <= 0 <= over.high

    return draw


def one_evaluation(prompts: int, answers: int) -> Draw:
    """The interval of one run for prompts like these holds the mean over all prompts, with so many
    answers to each; prompts and answers have a standard deviation of 1."""

    def draw(random: np.random.Generator) -> bool:
        means = random.normal(0, 1, prompts) + random.normal(0, 1 / np.sqrt(answers), prompts)
        weights = np.full(prompts, 1 / prompts)
        over = like_these(
            float(means.mean()), Answers(prompts="", values=means[None], weights=weights)
        )
        return over.low <= 0 <= over.high

    return draw


def like_prompts_by_seeds(seeds: int, seed_sd: float) -> Draw:
    """The same truth by the interval for these prompts, which is of another one."""

    def draw(random: np.random.Generator) -> bool:
        those = _answers(random, random.normal(0, 1, PROMPTS), seeds, seed_sd)
        over = interval(those.values.mean(axis=1).tolist(), [0.05] * seeds)
        return over.low <= 0 <= over.high

    return draw


def difference_at_prompts_like_these(seeds: int, seed_sd: float) -> Draw:
    """Two equal settings are told apart at prompts like these. Prompts shift both alike by 1, and
    either by 0.5 on its own."""

    def draw(random: np.random.Generator) -> bool:
        shared, settings = random.normal(0, 1, PROMPTS), []
        for name in "ab":
            own = shared + random.normal(0, 0.5, PROMPTS)
            settings.append(_setting(name, _answers(random, own, seeds, seed_sd)))
        verdict = judge(settings)
        return verdict is not None and any(m.like and m.like.low > 0 for m in verdict.margins)

    return draw


def equal_settings(spreads: Sequence[float], seeds: int, claim: Callable[[Verdict], bool]) -> Draw:
    """Of settings of equal means, one for each standard deviation in `spreads`, the verdict makes
    the claim."""

    def draw(random: np.random.Generator) -> bool:
        settings = []
        for i, spread in enumerate(spreads):
            values = random.normal(0, spread, (seeds, 1))
            settings.append(
                _setting(str(i), Answers(prompts="", values=values, weights=np.ones(1)))
            )
        verdict = judge(settings)
        return verdict is not None and claim(verdict)

    return draw


def best(verdict: Verdict) -> bool:
    return verdict.claim == "best"


def some_below(verdict: Verdict) -> bool:
    return any(margin.apart for margin in verdict.margins)


def _answers(
    random: np.random.Generator, means: np.ndarray[Any, Any], seeds: int, seed_sd: float
) -> Answers:
    runs = random.normal(0, seed_sd, (seeds, 1)) if seed_sd else np.zeros((seeds, 1))
    values = means + runs + random.normal(0, 1, (seeds, len(means)))
    return Answers(prompts="", values=values, weights=np.full(len(means), 1 / len(means)))


def _setting(name: str, those: Answers) -> Setting:
    """A setting whose runs ended with these values."""
    runs = []
    for i, row in enumerate(those.values):
        kept = {"prompts": those.prompts, "responses": [1] * len(row), GOLD: row.tolist()}
        run = Run(
            name=f"{name}-{i}",
            directory=Path(),
            status="finished",
            config={"seed": i},
            pieces=frozenset(),
            summary={GOLD: float(row.mean()), f"{GOLD}_se": 0.05},
            metrics=(),
            error=None,
            overrides=(),
            by_prompt=(kept,) if len(row) > 1 else (),
        )
        runs.append(run)
    values = [run.summary[GOLD] for run in runs]
    estimates = {GOLD: over_runs(values, [0.05] * len(runs))}
    return Setting(label=name, short=name, values={}, runs=tuple(runs), estimates=estimates)


def main() -> None:
    parser = argparse.ArgumentParser(description="coverage of a comparison's intervals")
    parser.add_argument("--repeats", type=int, default=4000)
    repeats = parser.parse_args().repeats

    def table(
        head: Sequence[str], rows: Sequence[tuple[str, Sequence[Draw]]], share: int = 1
    ) -> None:
        print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for name, draws in rows:
            rates = [f"{100 * rate(draw, repeats // share):.1f} %" for draw in draws]
            print(f"| {' | '.join([name, *rates])} |", flush=True)

    seeds = [f"{n} seeds" for n in SEEDS]
    print("Intervals of one setting hold its mean (95 %):")
    table(
        ["", *seeds, "one run, 64 prompts x 4"],
        [("interval", [*(one_setting(n) for n in SEEDS), one_evaluation(64, 4)])],
    )
    print("\nThe interval of a difference of two equal settings leaves out 0 (5 %):")
    pairs = [*((n, n) for n in SEEDS), (8, 3), (8, 2), (3, 8), (2, 8), (1, 3)]
    table(
        ["sd of the second to the first", *(f"{n} + {m}" for n, m in pairs)],
        [(f"{ratio:g}", [two_settings(pair, ratio) for pair in pairs]) for ratio in (1, 2, 3)],
    )
    print(f"\nIntervals hold the mean over all prompts, from {PROMPTS} that all runs share (95 %):")
    effects = (0.0, 0.1, 0.3, 1.0)
    table(
        ["interval, sd over seeds", *seeds],
        [
            *((f"prompts like these, {e:g}", [like_prompts(n, e) for n in SEEDS]) for e in effects),
            *(
                (f"these prompts, {e:g}", [like_prompts_by_seeds(n, e) for n in SEEDS])
                for e in effects
            ),
        ],
    )
    print("\nTwo equal settings are told apart at prompts like these (5 %):")
    table(
        ["sd over seeds", *seeds],
        [
            (f"{e:g}", [difference_at_prompts_like_these(n, e) for n in SEEDS])
            for e in (0.0, 0.1, 0.5)
        ],
    )
    print("\nOf equal settings one is called the best; some is called worse than the leader (5 %):")
    kinds = (("best", best), ("worse", some_below))
    table(
        ["claim, sd over seeds, settings", "2 seeds", "3 seeds", "5 seeds"],
        [
            (
                f"{name}, {how}, {k}",
                [equal_settings(spreads(k), n, claim) for n in (2, 3, 5)],
            )
            for name, claim in kinds
            for how, spreads in SPREADS.items()
            for k in (2, 3, 5, 8)
        ],
        share=2,
    )


if __name__ == "__main__":
    main()
