"""Frontiers of problems that can be listed, where every best policy is known: nothing is sampled
but what training draws.

    python -m benchmarks.frontier exact                              # five problems, three seeds
    python -m benchmarks.frontier exact --problems 12x3 0x4 --seeds 0
    python -m benchmarks.frontier exact --seeds 0 --ways "path that shortens"
    python -m benchmarks.frontier exact --seeds 0 ppo.optimizer.lr=1e-3    # of every way

Overrides hold for every way alike; the tables name them, and what was run with others, or without,
lies in another folder and is not read. Without the independent runs (`--ways`) there is a table of
the ways' own shares alone.

A problem is `data=micro` with a seed and a limit of response tokens: the oracle experiment's own
(12x3) and the first seeds in their order with more tokens, whatever they are like. In all else
`experiment=oracle`.

- independent: a run of 120 iterations at each of eight coefficients, 2 to 0.05
- path: one run through the same eight, 40 iterations each: a third
- path that shortens: 100 iterations at the first, and of each 0.7 times as many at the next
- path longer at first: 32 iterations each, with two points more, 2.04 and 2.02, before the first
- path as it settles: the same with the rule by which a point may end sooner
- decoding, weights: the independent policies at 0.5 and 0.144, realigned to the other coefficients
  by lambda = own coefficient / other. Of decoding both the mixture of whole responses, which is the
  optimum itself where the policy is one, and that of each token, which can be sampled

The share of the possible gain at a coefficient beta is (J - J_ref) / (J* - J_ref), J = E[r] - beta
KL, over the prompts of training.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor

from benchmarks.frontier.sampled import Costs, iterations_of
from benchmarks.speed import one_thread
from benchmarks.speed.report import machine, middle, show, table
from rlhf.compare.read import Run, load
from rlhf.config.build import build
from rlhf.config.validate import validate
from rlhf.modules.exact import ExactView
from rlhf.oracle import mean_standing, sequence_mixture, standings, token_mixture
from rlhf.stages.context import StageContext
from rlhf.stages.ppo import ppo_module
from rlhf.stages.table import artifacts, fingerprints

COEFS = (2.0, 1.181, 0.6972, 0.4117, 0.2431, 0.1435, 0.08474, 0.05)
ANCHORS = (0.6972, 0.1435)
PROBLEMS = ("12x3", "0x4", "1x4", "2x4", "3x5")
BEFORE = (2.04, 2.02)  # points that are nearly the first one: it is held three times as long


def path(iterations: int, coefs: Sequence[float] = COEFS) -> list[str]:
    return [
        *("kl/controller=path", "kl.coef=0.05", f"ppo.iterations={iterations}"),
        f"kl.controller.grid=[{','.join(f'{c:g}' for c in coefs)}]",
        "kl.controller.restart_lr=true",  # as ppo=micro lets it fall
    ]


HELD = "kl.controller.tolerance=0"  # each point to its last iteration
WAYS = {
    "independent": [f"kl.coef={','.join(f'{c:g}' for c in COEFS)}"],
    "path": [*path(40), HELD],
    "path that shortens": [*path(100), "kl.controller.shrink=0.7", HELD],
    "path longer at first": [*path(32, (*BEFORE, *COEFS)), HELD],
    "path as it settles": path(40),
}
SHARE = "oracle/share_of_gain"
Shares = dict[float, list[float]]  # by coefficient, one for each seed


def problem_words(problem: str) -> list[str]:
    seed, tokens = problem.split("x")
    own = [f"data.seed={seed}", f"data.max_response_tokens={tokens}", f"study=micro-{problem}"]
    return ["experiment=oracle", *own]


def folder_of(folder: Path, problem: str, words: Sequence[str]) -> Path:
    """Of a problem's runs with these overrides: costs and runs of others are not read."""
    own = re.sub(r"[^\w.=-]+", "_", " ".join(words))
    return folder / "exact" / (f"{problem} {own}" if own else problem)


def title_of(problem: str, words: Sequence[str]) -> str:
    return f"{problem}, every way with {' '.join(words)}" if words else problem


def shares_of(runs: Sequence[Run]) -> Shares:
    shares: Shares = defaultdict(list)
    for run in runs:
        if run.finished:
            shares[float(run.summary["kl.coef"])].append(float(run.summary[SHARE]))
    return shares


class Listed:
    """The policies of a problem's runs as tables of every response, all from one SFT policy."""

    def __init__(self, directory: Path) -> None:
        cfg = validate(yaml.safe_load((directory / "config.yaml").read_text()))
        source = build(cfg.data)
        self.context = StageContext(
            cfg=cfg, source=source, data=source.load(), run_directory=directory
        )
        sft = artifacts(self.context, fingerprints(self.context))["sft"]
        self.module = ppo_module(self.context, sft, None)
        self.view = ExactView(self.module, self.module.parts.prompts.training())
        self.start = {k: v.clone() for k, v in self.module.policy.state_dict().items()}
        _, self.ref_logp, self.reward = self.view.tables()
        rows = self.view.rollout
        count = self.ref_logp.shape[1]
        self.tokens, self.mask = rows.tokens[:count], rows.mask[:count]

    def weights_of(self, run: Run) -> dict[str, Tensor]:
        return self.context.networks().policy(run.directory / "policy").state_dict()

    def logp(self, weights: Mapping[str, Tensor], share: float = 1.0) -> Tensor:
        """[X, N] of (1 - share) SFT + share of these weights."""
        mixed = {
            name: torch.lerp(own, weights[name], share) if own.is_floating_point() else own
            for name, own in self.start.items()
        }
        self.module.policy.load_state_dict(mixed)
        return self.view.tables()[0]

    def share(self, logp: Tensor, beta: float) -> float:
        return mean_standing(standings(logp, self.ref_logp, self.reward, beta)).share_of_gain


def realigned(listed: Listed, run: Run) -> Iterator[tuple[str, float, float]]:
    """(way, coefficient, share of the gain there) of a run's policy, brought to each coefficient
    by lambda = own / other."""
    weights, own = listed.weights_of(run), float(run.summary["kl.coef"])
    logp = listed.logp(weights)
    for beta in COEFS:
        by = own / beta
        mixtures = {
            "responses mixed": sequence_mixture(listed.ref_logp, logp, by),
            "decoding": token_mixture(listed.ref_logp, logp, listed.tokens, listed.mask, by),
            "weights": listed.logp(weights, by),
        }
        for name, mixture in mixtures.items():
            yield f"{name}, from {own:g}", beta, listed.share(mixture, beta)


def main(args: argparse.Namespace) -> None:
    one_thread()
    torch.set_num_threads(1)
    show(f"{machine()}\n")
    everywhere: dict[str, list[float]] = defaultdict(list)
    for problem in args.problems:
        for name, gap in of_problem(problem, args):
            everywhere[name].append(gap)
    rows = [
        [
            name,
            f"{min(gaps):+.2f}",
            f"{statistics.median(gaps):+.2f}",
            f"{max(gaps):+.2f}",
            len(gaps),
        ]
        for name, gaps in everywhere.items()
    ]
    if not everywhere:
        return
    show("Share of the gain less that of independent runs, percentage points, all problems:\n")
    show(table(["way", "least", "median", "most", "coefficients and problems"], rows))


def of_problem(problem: str, args: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Shows a problem's table; (way, its mean share at a coefficient less the independent runs', in
    percentage points)."""
    folder = folder_of(args.folder, problem, args.words).resolve()
    costs, common = Costs(folder), problem_words(problem)
    many = f"seed={','.join(map(str, args.seeds))}"
    made, spent = {}, {}
    for name in args.ways:
        line = [*common, many, f"sweep={name.replace(' ', '-')}", *WAYS[name], *args.words]
        spent[name] = costs.of(name, line)
        made[name] = load(folder / "sweeps" / name.replace(" ", "-"))
    shares = {name: shares_of(runs) for name, runs in made.items()}
    independent = made.get("independent", [])
    # cut where the folder is: a run's paths are relative to it
    with contextlib.chdir(folder):
        listed = Listed(independent[0].directory) if independent else None
        for run in independent:
            if listed and run.finished and float(run.summary["kl.coef"]) in ANCHORS:
                for name, beta, share in realigned(listed, run):
                    shares.setdefault(name, defaultdict(list))[beta].append(share)
    title = title_of(problem, args.words)
    show(f"{title}: share of the possible gain, % (median over the seeds, range):\n")
    heads = ["way", "iterations", "CPU-s", *(f"{beta:g}" for beta in COEFS)]
    show(table(heads, lines(made, spent, shares)))
    for name, own in shares.items():
        if name == "independent" or not independent:
            continue
        for beta in COEFS:
            theirs = statistics.fmean(shares["independent"][beta])
            yield name, 100 * (statistics.fmean(own[beta]) - theirs)


def lines(
    made: Mapping[str, Sequence[Run]], spent: Mapping[str, float], shares: Mapping[str, Shares]
) -> Iterator[list[str]]:
    for name, own in shares.items():
        known = name in made
        cost = [str(iterations_of(made[name])), f"{spent[name]:.0f}"] if known else ["0", ""]
        cells = [middle([100 * share for share in own[beta]]) for beta in COEFS]
        yield [name, *cost, *cells]
