"""The properties of a config's pieces: of ours from tables, without torch; of a user's own from its
class, which is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from rlhf.config.build import user_class
from rlhf.config.pieces.base import Custom, Piece
from rlhf.config.pieces.scorer import CombinedScorer
from rlhf.config.schema import KL, PPO, Config
from rlhf.config.stages import Stage, lineage
from rlhf.kl import properties as kl

P = TypeVar("P")


def _of(piece: Any, ours: Mapping[str, P], shown: Callable[[object], P]) -> P:
    """A user's own piece goes by the name of its YAML, whatever its class is called."""
    if not isinstance(piece, Custom):
        return ours[piece.name]
    properties: Any = shown(user_class(piece))
    judged: P = replace(properties, name=piece.name) if piece.name else properties
    return judged


def kl_properties(pieces: KL) -> dict[str, Any]:
    """The properties that `rlhf.kl.rules.faults` judges: `controller`, `estimator`, `placement`,
    `reference`.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    given = getattr(pieces.controller, "model_extra", None) or {}
    steering = partial(kl.controller_properties, arguments=given)
    return {
        "controller": _of(pieces.controller, kl.CONTROLLERS, steering),
        "estimator": _of(pieces.estimator, kl.ESTIMATORS, kl.estimator_properties),
        "placement": _of(pieces.placement, kl.PLACEMENTS, kl.placement_properties),
        "reference": _of(pieces.reference, kl.REFERENCES, kl.reference_properties),
    }


def asks(piece: Piece | Custom, need: str, *, by_default: bool) -> bool:
    """True if a piece has a need that rules know: an attribute of its class, or of ours' model.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    if isinstance(piece, CombinedScorer):
        return any(asks(part, need, by_default=by_default) for part in piece.parts.values())
    owner = user_class(piece) if isinstance(piece, Custom) else type(piece)
    return bool(getattr(owner, need, by_default))


def trains_values(algorithm: Any, advantage: Any) -> bool:
    """True if PPO trains a value model: the advantage needs values and the algorithm trains them.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    return asks(advantage, "needs_values", by_default=True) and asks(
        algorithm, "needs_values", by_default=False
    )


def needs_reward_model(scorer: Any, ppo: PPO, algorithm: Any, advantage: Any) -> bool:
    """True if PPO scores with a reward model or starts its value model from one.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    return asks(scorer, "needs_reward_model", by_default=True) or (
        ppo.value_init != "policy" and trains_values(algorithm, advantage)
    )


# stages that others stand on only where a config asks for them
ASKED_FOR: dict[str, Callable[[Config], bool]] = {
    "reward_model": lambda cfg: needs_reward_model(
        cfg.scorer, cfg.ppo, cfg.algorithm, cfg.advantage
    )
}


def needed_stages(cfg: Config) -> list[Stage]:
    """The stages that a run goes through, in order: its own is the last.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    return [
        stage
        for stage in lineage(cfg.stage)
        if stage.name == cfg.stage or stage.name not in ASKED_FOR or ASKED_FOR[stage.name](cfg)
    ]
