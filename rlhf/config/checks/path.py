"""Settings that a path cannot have: those beside its controller's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.kl import Path
from rlhf.config.properties import trains_values
from rlhf.config.schema import KL, PPO, Trainer

SECTIONS = ("kl", "ppo", "algorithm", "advantage", "trainer")


def path_faults(
    kl: KL, ppo: PPO, algorithm: Any, advantage: Any, trainer: Trainer
) -> Iterator[Fault]:
    path = kl.controller
    if not isinstance(path, Path):
        return
    if trainer.strategy == "fsdp":
        yield Fault(
            "trainer.strategy=fsdp",
            "a path writes the policy of each of its points while it trains, when its weights lie"
            " in parts; trainer.strategy=ddp has them whole, or take kl/controller=fixed",
        )
    yield from _settling(path, ppo)
    if not path.restart_lr and ppo.lr_schedule != "constant":
        yield Fault(
            "",
            f"kl/controller={path.name} with ppo.lr_schedule={ppo.lr_schedule}: the schedule would"
            " be at its end with the path's first point; kl.controller.restart_lr=true begins it"
            " anew at each, or take ppo.lr_schedule=constant.",
        )
    if not path.keep_values and not _trains_values(algorithm, advantage):
        yield Fault(
            "kl.controller.keep_values=false",
            f"there is no value model that could begin anew: algorithm={algorithm.name} with"
            f" advantage={advantage.name} trains none; leave it true",
        )


def path_cautions(kl: KL, ppo: PPO) -> list[str]:
    """A sentence where a point may seem settled while its learning rate is still rising."""
    path = kl.controller
    if not (isinstance(path, Path) and path.restart_lr and path.tolerance):
        return []
    rising, least = ppo.lr_warmup * ppo.iterations, max(path.at_least, path.window)
    if rising < least - path.window / 2:
        return []
    return [
        f"kl.controller.restart_lr=true: the learning rate rises over {rising:g} iterations of each"
        f" point (ppo.lr_warmup={ppo.lr_warmup:g} of {ppo.iterations}), and a point may seem"
        f" settled from iteration {least} on; kl.controller.tolerance=0 holds it to its end, a"
        " larger kl.controller.at_least beyond the rise"
    ]


def _settling(path: Path, ppo: PPO) -> Iterator[Fault]:
    if not path.tolerance:  # nothing settles: at_least and window are not read
        return
    most = ppo.iterations
    if path.at_least > most:
        yield Fault(
            f"kl.controller.at_least={path.at_least}",
            f"is more than ppo.iterations={most}, the most iterations of a point",
        )
    if path.window > most:
        yield Fault(
            f"kl.controller.window={path.window}",
            f"no point can have so many rollouts: ppo.iterations={most} is the most;"
            " kl.controller.tolerance=0 holds each point for all of them",
        )
    if ppo.rollout_size < 2:
        yield Fault(
            f"ppo.rollout_size={ppo.rollout_size}",
            "one response has no standard error, so no point of the path can settle;"
            " kl.controller.tolerance=0 holds each point for ppo.iterations",
        )


def _trains_values(algorithm: Any, advantage: Any) -> bool:
    try:
        return trains_values(algorithm, advantage)
    except ValueError:  # another check says it
        return True
