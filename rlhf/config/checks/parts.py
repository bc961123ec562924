"""The parts of the data that the stages of a run need, and which of them there are."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.properties import (
    asks,
    given_parts,
    is_trained,
    learns_from,
    needed_stages,
    trains_values,
)

SECTIONS = (
    *("data", "model", "stage", "sft", "reward_model", "scorer", "ppo", "algorithm", "advantage"),
)
LEARNS = {"sft": "demonstrations", "reward_model": "preferences"}


def missing_parts(**sections: Any) -> Iterator[Fault]:
    """A fault for each part that a stage would be trained on and the data does not have, with the
    ways to do without."""
    cfg: Any = SimpleNamespace(**sections)
    try:
        parts, stages = given_parts(cfg.data), [stage.name for stage in needed_stages(cfg)]
        by_gold = cfg.stage == "ppo" and asks(cfg.scorer, "needs_gold", by_default=False)
        by_model = asks(cfg.scorer, "needs_reward_model", by_default=True)
        values = trains_values(cfg.algorithm, cfg.advantage)
        learned = learns_from(cfg.algorithm) if cfg.stage == "ppo" else ()
    except ValueError as error:
        yield Fault("", str(error))
        return
    has_gold = getattr(cfg.data, "has_gold", True)
    if by_gold and not has_gold:
        yield Fault(
            f"scorer={cfg.scorer.name}",
            "the data has no gold reward; set data.gold=vader, or take scorer=reward_model",
        )
    if not parts:  # not known, or there are none at all
        return
    if "sft" in stages and is_trained(cfg, "sft") and "demonstrations" not in parts:
        yield Fault("data.demonstrations=null", _without_demonstrations(cfg))
    pairs = "preferences" in parts or has_gold
    if "reward_model" in stages and is_trained(cfg, "reward_model") and not pairs:
        yield Fault("data.preferences=null", _without_pairs(cfg, by_model=by_model, values=values))
    trained = [stage for stage in stages if stage in LEARNS and is_trained(cfg, stage)]
    already = {LEARNS[stage] for stage in trained}
    for part in learned:
        if part not in {*parts, *already} and not (part == "preferences" and has_gold):
            gold = " or set data.gold=vader, which labels pairs of the SFT policy's responses,"
            yield Fault(
                f"data.{part}=null",
                f"algorithm={cfg.algorithm.name} learns from {part}; name a file,"
                f"{gold if part == 'preferences' else ''} or take algorithm=ppo",
            )


def _without_demonstrations(cfg: Any) -> str:
    ways = [
        "name a file of demonstrations",
        "start from a policy that is there (sft.path=<folder or hub name>)",
        "or from the model as it is (sft=none)",
    ]
    if cfg.stage == "reward_model" and cfg.reward_model.path is None:
        ways.insert(2, "do without one (reward_model.init=model reward_model.normalize=false)")
    return f"the run begins with SFT, which trains on them; {', '.join(ways)}"


def _without_pairs(cfg: Any, *, by_model: bool, values: bool) -> str:
    ways = ["name a file", "set data.gold=vader"]
    ways.append("take a reward model that is there (reward_model.path=<folder or hub name>)")
    if cfg.stage == "ppo" and by_model:
        ways.append("or score by another scorer (scorer=..., with ppo.value_init=policy)")
    elif cfg.stage == "ppo" and values:
        ways = [
            f"scorer={cfg.scorer.name} needs no reward model, ppo.value_init does: set it to policy"
        ]
    return f"pairs would be sampled and labelled by gold, but data.gold=null; {', '.join(ways)}"
