"""What each KL estimator and placement descends, exactly, on a run of experiment=oracle.

    python benchmarks/kl_gradients.py sweeps/oracle/<run> ...

Takes each run's final policy and reference, no reward and coef 1: the true gradient is that of the
sequence KL. Prints a Markdown table of the expected gradient of PPO's loss at its first minibatch
beside it, all responses listed and weighted by their probability; of several runs the least and the
largest of each number.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from rlhf.config.build import build
from rlhf.config.validate import validate
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1, K2, K3, Abs, Exact, K1Clamped
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Loss, Reward, SequenceLoss
from rlhf.kl.properties import descends
from rlhf.kl.reference import SFT
from rlhf.models.load import load_causal_lm
from rlhf.modules.exact import ExactView, angle
from rlhf.rollout.score import Responses, Scorer
from rlhf.stages.context import StageContext
from rlhf.stages.ppo import ppo_module
from rlhf.stages.table import artifacts, fingerprints

PAIRS: list[tuple[Any, Any]] = [
    (K1(), Reward()),
    (Exact(), Both()),
    (K2(), SequenceLoss()),
    (K2(), Loss()),
    (K3(), SequenceLoss()),
    (K3(), Loss()),
    (Abs(), SequenceLoss()),
    (Abs(), Loss()),
    (K1Clamped(), Reward()),
    (K2(), Reward()),
    (K3(), Reward()),
    (Abs(), Reward()),
]


class NoReward(Scorer):
    def score(self, responses: Responses) -> torch.Tensor:
        return torch.zeros(len(responses.prompts), dtype=torch.float64)


def gradients(directory: Path) -> list[tuple[float, float, float]]:
    """Relative error, angle in degrees, length of each pair's gradient, of a run's final policy."""
    cfg = validate(yaml.safe_load((directory / "config.yaml").read_text()))
    source = build(cfg.data)
    context = StageContext(cfg=cfg, source=source, data=source.load(), run_directory=directory)
    module = ppo_module(context, artifacts(context, fingerprints(context))["sft"], None)
    module.policy = load_causal_lm(directory / "policy").eval()
    module.parts = replace(module.parts, scorer=NoReward())
    module.settings = replace(module.settings, critic_warmup=0)
    for model in (module.policy, module.parts.reference.model, module.value_model):
        model.double()
        model.eval()
    view, measured = ExactView(module, module.parts.prompts.training()), []
    for estimator, placement in PAIRS:
        module.kl = KLPenalty(Fixed(1.0), estimator, placement, SFT())
        ours, true = view.loss_gradient(), -view.objective_gradient()
        error, length = ((ours - true).norm() / true.norm(), ours.norm() / true.norm())
        measured.append((float(error), angle(ours, true), float(length)))
    return measured


def cell(values: Sequence[float], form: str) -> str:
    """One policy's number, or the least and the largest of several."""
    low, high = (format(x, form) for x in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def main(directories: Sequence[Path]) -> None:
    torch.set_num_threads(1)
    measured = [gradients(directory) for directory in directories]
    print("| estimator | placement | relative error | angle (°) | length | its gradient descends |")
    print("|---|---|---|---|---|---|")
    for (estimator, placement), of_pair in zip(PAIRS, zip(*measured, strict=True), strict=True):
        penalty = KLPenalty(Fixed(1.0), estimator, placement, SFT())
        means = descends(penalty.estimates, penalty.acts).replace("|", "\\|")
        numbers = [
            cell(column, form)
            for column, form in zip(zip(*of_pair, strict=True), (".2g", ".2f", ".3f"), strict=True)
        ]
        names = [penalty.estimates.name, penalty.acts.name]
        print(f"| {' | '.join([*names, *numbers, means])} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "directories",
        type=Path,
        nargs="+",
        help="runs on an enumerable problem without a reward model",
    )
    main(parser.parse_args().directories)
