"""What each KL estimator and placement descends, exactly, on a run of experiment=oracle.

    python benchmarks/kl_gradients.py sweeps/oracle/<run>

Takes the run's final policy and reference, no reward and coef 1: the true gradient is that of the
sequence KL. Prints a Markdown table of the expected gradient of PPO's loss at its first minibatch
beside it, all responses listed and weighted by their probability.
"""

from __future__ import annotations

import argparse
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


def main(directory: Path) -> None:
    torch.set_num_threads(1)
    cfg = validate(yaml.safe_load((directory / "config.yaml").read_text()))
    source = build(cfg.data)
    shop = StageContext(cfg=cfg, source=source, data=source.load(), run_directory=directory)
    module = ppo_module(shop, artifacts(shop, fingerprints(shop))["sft"], None)
    module.policy = load_causal_lm(directory / "policy").eval()
    module.parts = replace(module.parts, scorer=NoReward())
    module.settings = replace(module.settings, critic_warmup=0)
    for model in (module.policy, module.parts.reference.model, module.value_model):
        model.double()
        model.eval()
    view = ExactView(module, module.parts.prompts.training())
    print(
        "| estimator | placement | relative error | angle | length | its gradient descends"
        " |\n|---|---|---|---|---|---|"
    )
    for estimator, placement in PAIRS:
        module.kl = penalty = KLPenalty(Fixed(1.0), estimator, placement, SFT())
        ours, true = view.loss_gradient(), -view.objective_gradient()
        error, length = (
            float((ours - true).norm() / true.norm()),
            float(ours.norm() / true.norm()),
        )
        means = descends(penalty.estimates, penalty.acts).replace("|", "\\|")
        print(
            f"| {penalty.estimates.name} | {penalty.acts.name} | {error:.2g} |"
            f" {angle(ours, true):.2f}° | {length:.3f} | {means} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "directory", type=Path, help="a run on an enumerable problem without a reward model"
    )
    main(parser.parse_args().directory)
