"""The reward model before it is trained."""

from __future__ import annotations

from pathlib import Path

from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.adapters.views import PolicyView
from rlhf.models.files.adapter import Base, network_of
from rlhf.models.load import scalar_model_from
from rlhf.models.networks import Networks
from rlhf.models.scalar import Scalar
from rlhf.models.training.partial import train_only
from rlhf.stages.adapted.base import adapter_part, kept_base
from rlhf.stages.adapted.roles import scalar_beside
from rlhf.stages.context import Parents, StageContext


def untrained(
    context: StageContext, networks: Networks, parents: Parents
) -> tuple[Scalar, Base | None]:
    """A network of its own, or what is trained beside a frozen one and where that one is kept."""
    settings = context.cfg.reward_model
    sft = parents["sft"] if settings.init == "sft" else None
    if adapter_part(context.cfg, "reward_model"):
        return _beside(context, networks, sft)
    backbone = context.initial_policy(context.model) if sft is None else networks.whole(sft)
    model = scalar_model_from(backbone, seed=settings.seed)
    train_only(model.model, settings.trained)
    return model, None


def _beside(context: StageContext, networks: Networks, sft: Path | None) -> tuple[ScalarView, Base]:
    """On the network of the SFT policy, or (None) of conf/model."""
    cfg, piece = context.cfg, context.model
    if sft is not None:
        start, base = networks.policy(sft), network_of(sft)
    else:
        model = context.initial_policy(piece, frozen=True)
        base = kept_base(context, piece, model)
        start = PolicyView(networks.hold(base, model))
    assert isinstance(start, PolicyView)
    start.requires_grad_(False)
    return scalar_beside(start, "reward", cfg, seed=cfg.reward_model.seed), base
