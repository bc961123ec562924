"""How fast and how well each controller brings the KL to its target, where the right coefficient is
known.

    python benchmarks/controllers.py                      # a plant of one line, lag 8, noise 6 %
    rlhf experiment=controllers                           # real PPO, every response can be listed
    python benchmarks/controllers.py sweeps/controllers   # the runs, and that problem's exact plant

A plant is beta -> the KL that the policy would come to; the KL moves towards it by 1/lag of the
difference in each rollout, and is measured with noise, seeded. Every loop begins at KL 0, with a
coefficient four times too low and four times too high. It is no model of PPO, whose steps have a
limit of their own: the last table is the real loop. Prints Markdown.
`rlhf.compare.statistics.step_response` says what the columns mean.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from rlhf.compare.read.runs import load_run
from rlhf.compare.statistics.step_response import response, steering
from rlhf.compare.text.results import cells
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
    "| controller | start | rise | overshoot | settled | steady error | coefficient"
    " |\n|---|---|---|---|---|---|---|"
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
) -> list[str]:
    """The cells of one line: a closed loop of `rollouts` updates of 512 responses each."""
    draw, kl, kls, coefs = random.Random(seed), 0.0, [], []
    for i in range(rollouts):
        kl += (plant(controller.coef) - kl) / lag
        kls.append((float(i + 1), kl))
        coefs.append(controller.coef)
        controller.update(kl * math.exp(noise * draw.gauss(0, 1)), 512)
    last = coefs[-round(rollouts / 3) :]
    return [*cells(response(kls, goal)), f"{sum(last) / len(last):.3g}"]


def table(
    plant: Plant,
    goal: float,
    right: float,
    made: Callable[[float], dict[str, Controller]],
    args: argparse.Namespace,
) -> None:
    print(HEAD)
    for share in (0.25, 4.0):
        for name, controller in made(right * share).items():
            found = loop(
                controller,
                plant,
                goal=goal,
                rollouts=args.rollouts,
                lag=args.lag,
                noise=args.noise,
                seed=args.seed,
            )
            print(f"| {' | '.join([name, f'{right * share:.3g}', *found])} ({right:.3g}) |")


def exact_plant(directory: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """(log ref, reward) of every response to every prompt, [X, N], of the problem that a run was
    on."""
    cfg = validate(yaml.safe_load((directory / "config.yaml").read_text()))
    source = build(cfg.data)
    shop = StageContext(cfg=cfg, source=source, data=source.load(), run_directory=directory)
    module = ppo_module(shop, artifacts(shop, fingerprints(shop))["sft"], None)
    _, ref_logp, reward = ExactView(module, module.parts.prompts.training()).tables()
    return ref_logp, reward


def of_runs(sweep: Path, args: argparse.Namespace) -> None:
    runs = [
        run
        for path in sorted(sweep.iterdir())
        if (path / "summary.json").is_file() and steering(run := load_run(path)).unit == "sequence"
    ]
    if not runs:
        raise SystemExit(
            f"{sweep} holds no finished run with a target: rlhf experiment=controllers"
        )
    goal = steering(runs[0]).target
    ref_logp, reward = exact_plant(runs[0].directory)
    right = beta_for_kl(ref_logp, reward, goal)
    configs = {run.config["kl.controller"]: run for run in runs}

    def made(coef: float) -> dict[str, Controller]:
        found: dict[str, Controller] = {}
        for name, run in configs.items():
            cfg = validate(yaml.safe_load((run.directory / "config.yaml").read_text()))
            found[name] = build(cfg.kl.controller, coef=coef)
        return found

    print(
        f"\nThe exact plant of {sweep.name}: beta -> KL of the best policy. Target {goal:g} nats,"
        f" which {right:.4g} gives.\n"
    )
    table(
        lambda beta: float(exact_sequence_kl(best_policy(ref_logp, reward, beta), ref_logp).mean()),
        goal,
        right,
        made,
        args,
    )
    print("\nPPO itself, exact KL.\n")
    print(HEAD.replace("controller |", "controller | seed |").replace("|---|", "|---|---|", 1))
    for run in runs:
        name, way = run.config["kl.controller"], steering(run)
        line = [
            name,
            str(run.config["seed"]),
            f"{way.coef[0][1]:g}",
            *cells(response(way.kl, goal)),
            f"{way.final_coef:.3g} ({way.solved:.3g})",
        ]
        print(f"| {' | '.join(line)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, nargs="?", help="a sweep of experiment=controllers")
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--lag", type=float, default=8.0, help="rollouts")
    parser.add_argument(
        "--noise", type=float, default=0.06, help="of log KL as measured, standard deviation"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.sweep is None:
        goal = power_plant(0.1)
        print(f"KL = 0.4 / beta. Target {goal:g} nats, which 0.1 gives.\n")
        table(
            power_plant, goal, 0.1, lambda coef: controllers(coef, goal, 0.1, args.rollouts), args
        )
    else:
        of_runs(args.sweep, args)


if __name__ == "__main__":
    main()
