"""How many advantages change their sign when statistics count the padding too, as AlpacaFarm's do.

    rlhf -m best_of_n=none kl=alpaca_farm ppo.iterations=40 seed=0,1,2 sweep=whitening
    python benchmarks/whitening.py sweeps/whitening/kl*

For each run, at the start (SFT, values of zeros) and with its final policy: the advantages of one
rollout with `advantage=alpaca_farm` beside those with the padding left out (lam = 1, rewards and
advantages whitened), at the coefficient that the run began with. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import yaml

from rlhf.config.build import build
from rlhf.config.validate import validate
from rlhf.functional.masking import masked_mean
from rlhf.models.load import load_causal_lm
from rlhf.modules.advantage import GAE, PaddedGAE, to_experience
from rlhf.modules.online import OnlineModule
from rlhf.stages.context import StageContext
from rlhf.stages.ppo import ppo_module
from rlhf.stages.table import artifacts, fingerprints

HOW: dict[str, Any] = {"gamma": 1.0, "lam": 1.0, "whiten": True, "whiten_rewards": True}


@torch.no_grad()
def flipped(module: OnlineModule) -> tuple[float, float]:
    """The share of a rollout's response tokens whose advantage changes its sign, and the share of
    [B, T] that is padding."""
    prompts = module.parts.prompts.draw(1)
    scored = module.score(module.respond(prompts, "rollout", 1))
    masked, padded = (
        to_experience(scored, module.kl, piece(**HOW))[0].advantages for piece in (GAE, PaddedGAE)
    )
    mask = scored.rollout.mask
    changed = (masked.sign() != padded.sign()).float()
    return float(masked_mean(changed, mask)), 1 - float(mask.float().mean())


def main(directories: list[Path]) -> None:
    torch.set_num_threads(1)
    print("| run | policy | padding | signs that change |\n|---|---|---|---|")
    for directory in directories:
        cfg = validate(yaml.safe_load((directory / "config.yaml").read_text()))
        source = build(cfg.data)
        context = StageContext(cfg=cfg, source=source, data=source.load(), run_directory=directory)
        parents = artifacts(context, fingerprints(context))
        module = ppo_module(context, parents["sft"], parents["reward_model"])
        assert module.value_model is not None
        module.value_model.with_zero_head()
        for name in ("SFT", "final"):
            if name == "final":
                module.policy.load_state_dict(load_causal_lm(directory / "policy").state_dict())
            share, padding = flipped(module)
            print(f"| {directory.name} | {name} | {padding:.0%} | {share:.0%} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", type=Path, nargs="+", help="runs with a reward model")
    main(parser.parse_args().directories)
