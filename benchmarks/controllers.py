"""How fast and how well each controller brings the KL to its target, where the right coefficient is
known.

    python benchmarks/controllers.py                      # a plant of one line, lag 8, noise 6 %
    rlhf -m experiment=controllers seed=0,1,2,3           # real PPO, every response can be listed
    rlhf -m experiment=controllers sweep=fixed kl/controller=fixed ~kl.controller.target \
      kl.coef=0.6,0.978 seed=0,1,2,3                      # and without a controller
    python benchmarks/controllers.py sweeps/controllers sweeps/fixed   # and that problem's plant

A plant is beta -> the KL that the policy would come to; the KL moves towards it by 1/lag of the
difference in each rollout, and is measured with noise, seeded. Every loop begins at KL 0, with a
coefficient four times too low and four times too high. It is no model of PPO, whose steps have a
limit of their own: the last table is the real loop. A cell is the median over the seeds (least to
largest). Prints Markdown.
`rlhf.compare.statistics.step_response` says what the columns mean.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml

from rlhf.compare.read import Run, load
from rlhf.compare.statistics.step_response import Steering, response, steering
from rlhf.config.build import build
from rlhf.config.validate import validate
from rlhf.kl.controller import PID, Adaptive, AdaptiveAlpacaFarm, Controller, Cosine, Dual, Fixed
from rlhf.modules.exact import ExactView
from rlhf.oracle import best_policy, beta_for_kl, exact_sequence_kl
from rlhf.stages.context import StageContext
from rlhf.stages.ppo import ppo_module
from rlhf.stages.table import artifacts, fingerprints

Plant = Callable[[float], float]  # beta -> KL in nats a response
HEAD = (
    "| controller | start | rise | overshoot | settled | steady error | swing | coefficient |\n"
    + "|---" * 8
    + "|"
)


def power_plant(beta: float) -> float:
    """4 nats at 0.1; twice the coefficient, half the KL."""
    return 0.4 / beta


def controllers(coef: float, goal: float, right: float, rollouts: int) -> dict[str, Controller]:
    """With the gains of conf/kl/controller, for rollouts of 512. The schedule is told the right
    coefficient, which nobody knows."""
    bounds = {"min_coef": 1e-4, "max_coef": 10.0}
    return {
        "fixed": Fixed(coef),
        "cosine, to the right one": Cosine(coef, right, rollouts // 2),
        "adaptive": Adaptive(coef, goal, horizon=10000),
        "adaptive_alpaca_farm": AdaptiveAlpacaFarm(coef, goal, k_beta=0.1),
        "pid": PID(coef, goal, kp=0.1, ki=0.05, kd=0.0, **bounds),
        "dual": Dual(coef, goal, lr=0.05, **bounds),
    }


def loop(
    controller: Controller,
    plant: Plant,
    *,
    goal: float,
    rollouts: int,
    lag: float,
    noise: float,
    seed: int,
) -> tuple[list[tuple[float, float]], float]:
    """A closed loop of `rollouts` updates of 512 responses each: its KL by rollout, and the mean
    coefficient of the last third."""
    draw, kl, kls, coefs = random.Random(seed), 0.0, [], []
    for i in range(rollouts):
        kl += (plant(controller.coef) - kl) / lag
        kls.append((float(i + 1), kl))
        coefs.append(controller.coef)
        controller.update(kl * math.exp(noise * draw.gauss(0, 1)), 512)
    return kls, fmean(coefs[-round(rollouts / 3) :])


def line(ways: Sequence[Sequence[tuple[float, float]]], coefs: Sequence[float], goal: float) -> str:
    """The cells of several loops: the median and the range of each number over them."""
    answers = [response(way, goal) for way in ways]
    number = {
        "rise": ("{:.0f}", [a.rise for a in answers]),
        "overshoot": ("{:.0f} %", [100 * a.overshoot for a in answers]),
        "settled": ("{:.0f}", [a.settled for a in answers]),
        "error": ("{:+.1f} %", [100 * a.error for a in answers]),
        "swing": ("{:.1f} %", [100 * a.spread for a in answers]),
        "coefficient": ("{:.3g}", list(coefs)),
    }
    return " | ".join(over(values, form) for form, values in number.values())


def over(values: Sequence[float | None], form: str) -> str:
    """Median (least to largest); "never" where a loop has no such number."""
    words = [*map(form.format, sorted(v for v in values if v is not None and math.isfinite(v)))]
    words += ["never"] * (len(values) - len(words))
    low, middle, high = words[0], words[(len(words) - 1) // 2], words[-1]
    return low if low == high else f"{middle} ({low} to {high})"


def table(
    plant: Plant,
    goal: float,
    right: float,
    made: Callable[[float], dict[str, Controller]],
    args: argparse.Namespace,
) -> None:
    how: dict[str, Any] = {
        "goal": goal,
        "rollouts": args.rollouts,
        "lag": args.lag,
        "noise": args.noise,
    }
    print(HEAD)
    for share in (0.25, 4.0):
        for name in made(right * share):
            loops = [
                loop(made(right * share)[name], plant, seed=seed, **how)
                for seed in range(args.seeds)
            ]
            ways, coefs = zip(*loops, strict=True)
            print(f"| {name} | {right * share:.3g} | {line(ways, coefs, goal)} |")


def exact_plant(directory: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """(log ref, reward) of every response to every prompt, [X, N], of the problem that a run was
    on."""
    cfg = validate(yaml.safe_load((directory / "config.yaml").read_text()))
    source = build(cfg.data)
    context = StageContext(cfg=cfg, source=source, data=source.load(), run_directory=directory)
    module = ppo_module(context, artifacts(context, fingerprints(context))["sft"], None)
    _, ref_logp, reward = ExactView(module, module.parts.prompts.training()).tables()
    return ref_logp, reward


def runs_of(sweeps: Sequence[Path]) -> list[Run]:
    """The finished runs, those with a target first."""
    runs = [run for sweep in sweeps for run in load(sweep) if run.finished]
    runs.sort(key=lambda run: steering(run).unit != "sequence")
    if not runs or steering(runs[0]).unit != "sequence":
        raise SystemExit("no finished run with a target: rlhf experiment=controllers")
    return runs


def of_runs(runs: Sequence[Run], args: argparse.Namespace) -> None:
    goal = steering(runs[0]).target
    ref_logp, reward = exact_plant(runs[0].directory)
    right = beta_for_kl(ref_logp, reward, goal)
    configs = {
        run.config["kl.controller"]: validate(
            yaml.safe_load((run.directory / "config.yaml").read_text())
        )
        for run in runs
    }

    def made(coef: float) -> dict[str, Controller]:
        return {name: build(cfg.kl.controller, coef=coef) for name, cfg in configs.items()}

    print(
        f"\nThe exact plant: beta -> KL of the best policy. Target {goal:g} nats, which"
        f" {right:.4g} gives.\n"
    )
    table(
        lambda beta: float(exact_sequence_kl(best_policy(ref_logp, reward, beta), ref_logp).mean()),
        goal,
        right,
        made,
        args,
    )
    print(f"\nPPO itself, exact KL. {goal:g} nats, which {right:.4g} gives.\n\n{HEAD}")
    settings: dict[tuple[str, float], list[Steering]] = {}
    for run in runs:
        key = (str(run.config["kl.controller"]), float(run.config["kl.coef"]))
        settings.setdefault(key, []).append(steering(run))
    for (name, start), ways in settings.items():
        coefs = [way.final_coef for way in ways]
        print(f"| {name} | {start:.3g} | {line([way.exact for way in ways], coefs, goal)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweeps", type=Path, nargs="*", help="of experiment=controllers")
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--lag", type=float, default=8.0, help="rollouts")
    parser.add_argument(
        "--noise", type=float, default=0.06, help="of log KL as measured, standard deviation"
    )
    parser.add_argument("--seeds", type=int, default=20, help="of the noise of a plant's loops")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.sweeps:
        of_runs(runs_of(args.sweeps), args)
        return
    goal = power_plant(0.1)
    print(f"KL = 0.4 / beta. Target {goal:g} nats, which 0.1 gives.\n")
    table(power_plant, goal, 0.1, lambda coef: controllers(coef, goal, 0.1, args.rollouts), args)


if __name__ == "__main__":
    main()
