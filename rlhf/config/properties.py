"""The properties of a config's pieces: of ours from tables, without torch; of a user's own from its
class, which is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from rlhf.config.build import user_class
from rlhf.config.pieces.base import Custom, Piece
from rlhf.config.pieces.kl import Path
from rlhf.config.pieces.trained import ADAPTER
from rlhf.config.schema import KL, PPO, Config, RewardModel
from rlhf.config.stages import STAGES, Stage, lineage
from rlhf.kl import properties as kl
from rlhf.kl.grid import grid_of, most_iterations as most_of_path

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


def path_grid(pieces: KL) -> tuple[float, ...] | None:
    """The coefficients of a path that the config asks for; None of another controller.

    Raises:
        ValueError: it is no path, with one sentence that says why.
    """
    walk = pieces.controller
    if not isinstance(walk, Path):
        return None
    return grid_of(pieces.coef, grid=walk.grid, start=walk.start, points=walk.points)


def most_iterations(cfg: Config) -> int:
    """The iterations that PPO takes; of a path the most that it can take, for `ppo.iterations` are
    then those of its first point."""
    grid, ppo = path_grid(cfg.kl), cfg.ppo
    if grid is None:
        return ppo.iterations
    path = cfg.kl.controller
    assert isinstance(path, Path)
    return most_of_path(len(grid), ppo.iterations, ppo.critic_warmup, path.shrink)


def controller_arguments(pieces: KL, ppo: PPO) -> dict[str, Any]:
    """What a controller is made of beside its own settings.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    walks = kl_properties(pieces)["controller"].walks
    return {"coef": pieces.coef, **({"iterations": ppo.iterations} if walks else {})}


def asks(piece: Piece | Custom, need: str, *, by_default: bool) -> bool:
    """True if a piece has a need that rules know: an attribute of its class, or of ours' model.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    if isinstance(piece, Piece) and piece.inner:
        return any(asks(part, need, by_default=by_default) for part in piece.inner)
    owner = user_class(piece) if isinstance(piece, Custom) else type(piece)
    return bool(getattr(owner, need, by_default))


def of_algorithm(algorithm: Any, need: str, default: P) -> P:
    """What an algorithm says of itself that rules ask for (rlhf.config.pieces.algorithm).

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    owner = user_class(algorithm) if isinstance(algorithm, Custom) else algorithm
    stated: P = getattr(owner, need, default)
    return stated


def trains_values(algorithm: Any, advantage: Any) -> bool:
    """True if PPO trains a value model: the advantage needs values and the algorithm trains them.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    return asks(advantage, "needs_values", by_default=True) and asks(
        algorithm, "needs_values", by_default=False
    )


def draws(algorithm: Any) -> bool:
    """False of an algorithm that trains on no responses of the policy.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    return of_algorithm(algorithm, "draws", True)


PARTS = ("demonstrations", "preferences")  # what an algorithm may learn from beside prompts


def learns_from(algorithm: Any) -> tuple[str, ...]:
    """The parts of the data that an algorithm learns from beside prompts.

    Raises:
        ValueError: a class of the user's own cannot be had, or names a part that there is not.
    """
    parts: tuple[str, ...] = tuple(of_algorithm(algorithm, "learns_from", ()))
    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(
            f"algorithm={algorithm.name}: learns_from names {unknown[0]!r};"
            f" expected some of {', '.join(PARTS)}"
        )
    return parts


def parts_of(cfg: Config, stage: str) -> tuple[str, ...]:
    """The parts of the data that a stage learns from, those that the algorithm asks for among them.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    own = learns_from(cfg.algorithm) if STAGES[stage].is_run else ()
    return (*STAGES[stage].data, *own)


def needs_reward_model(scorer: Any, ppo: PPO, algorithm: Any, advantage: Any) -> bool:
    """True if PPO scores with a reward model or starts its value model from one.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    return asks(scorer, "needs_reward_model", by_default=True) or (
        ppo.value_init != "policy" and trains_values(algorithm, advantage)
    )


def is_trained(cfg: Config, stage: str) -> bool:
    """False of a stage whose result is there already: `<stage>.path`, or `sft=none`."""
    settings = getattr(cfg, stage)
    return getattr(settings, "path", None) is None and getattr(settings, "train", True)


def has_own_weights(cfg: Config) -> bool:
    """True if the SFT policy has weights of its own, beside those of conf/model: it was trained
    without an adapter, or comes from elsewhere."""
    return cfg.sft.path is not None or (is_trained(cfg, "sft") and cfg.sft.trained != ADAPTER)


def reward_model_shares(cfg: Config) -> bool:
    """True if the reward model that a run trains stands on the very network that the policy's
    adapter does: it is an adapter of it, or with model/adapter=head a head on it."""
    part, kind = cfg.reward_model.trained, cfg.adapter.kind
    beside = part == ADAPTER or (part == "head" and kind == "head")
    return beside and (cfg.reward_model.init == "sft" or not has_own_weights(cfg))


def normalizes(reward_model: RewardModel) -> bool:
    """True if scores are normalised on samples of the SFT policy. `auto`: those of a reward model
    that is trained here; one that is given by its path keeps what it has recorded."""
    wish = reward_model.normalize
    return reward_model.path is None if wish == "auto" else wish


def given_parts(data: Any) -> frozenset[str] | None:
    """The parts of the data that a source reads or writes itself; None where a class of the user's
    own does not say it (`parts`).

    Raises:
        ValueError: it cannot be had.
    """
    if not isinstance(data, Custom):
        parts: frozenset[str] = data.parts
        return parts
    named = getattr(user_class(data), "parts", None)
    return None if named is None else frozenset(named)


def reads_sft(cfg: Config) -> bool:
    """True if the reward model needs the SFT policy: as its backbone, or for samples of it, which
    its scores are normalised on or its pairs are made of.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    settings = cfg.reward_model
    if settings.path is not None or normalizes(settings):
        return normalizes(settings)
    return settings.init == "sft" or "preferences" not in (given_parts(cfg.data) or ())


# (stage, parent) -> whether the one stands on the other; on its other parents it always does
ASKED_FOR: dict[tuple[str, str], Callable[[Config], bool]] = {
    ("reward_model", "sft"): reads_sft,
    ("ppo", "reward_model"): lambda cfg: needs_reward_model(
        cfg.scorer, cfg.ppo, cfg.algorithm, cfg.advantage
    ),
}


def parents(cfg: Config, stage: str) -> tuple[str, ...]:
    """The stages that a stage stands on, as the config asks.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    return tuple(
        name
        for name in STAGES[stage].parents
        if (stage, name) not in ASKED_FOR or ASKED_FOR[stage, name](cfg)
    )


def needed_stages(cfg: Config) -> list[Stage]:
    """The stages that a run goes through, in order: its own is the last.

    Raises:
        ValueError: a class of the user's own cannot be had.
    """
    needed = {cfg.stage}
    for stage in reversed(lineage(cfg.stage)):
        if stage.name in needed:
            needed |= {*parents(cfg, stage.name)}
    return [stage for stage in lineage(cfg.stage) if stage.name in needed]
