"""The networks of PPO's roles: whole ones, or views of frozen ones that differ by an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from rlhf.config.checks.adapter import OWN_NETWORK
from rlhf.config.schema import Config
from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.adapters.targets import chosen_layers
from rlhf.models.adapters.views import PolicyView
from rlhf.models.load import attention_of, load_scalar_model, scalar_model_from
from rlhf.models.networks import Networks, Policy
from rlhf.models.scalar import Scalar, ScalarModel
from rlhf.rundir.errors import ModelError
from rlhf.stages.context import StageContext
from rlhf.stages.outside.adapter import lora_of


@dataclass(frozen=True, kw_only=True)
class Roles:
    """`start` is the policy that the run begins with; `reference` is that, or a policy of its own
    that moves."""

    policy: Policy
    start: Policy
    reference: Policy
    value_model: Scalar | None
    reward_models: tuple[Scalar, ...]


def roles_of(
    context: StageContext, sft: Path, reward_models: Sequence[Path], *, moving: bool, valued: bool
) -> Roles:
    """Each role as the config wants it. `valued`: a value model is trained."""
    make = _views if context.cfg.adapter.is_used else _whole
    return make(context, sft, reward_models, moving, valued)


def _whole(
    context: StageContext, sft: Path, reward_models: Sequence[Path], moving: bool, valued: bool
) -> Roles:
    """A network of its own for each role."""
    networks, cfg = context.networks(), context.cfg
    policy = networks.whole(sft)
    start = networks.whole(sft).requires_grad_(False)
    return Roles(
        policy=policy,
        start=start,
        value_model=_whole_values(cfg, policy, reward_models) if valued else None,
        # from the same file, so its weights lie as the policy's do: a kernel may ask where
        reference=networks.whole(sft).requires_grad_(False) if moving else start,
        reward_models=frozen_scalars(networks, reward_models),
    )


def frozen_scalars(networks: Networks, folders: Sequence[Path]) -> tuple[Scalar, ...]:
    """Reward models, that nothing trains."""
    return tuple(networks.scalar(folder).eval().requires_grad_(False) for folder in folders)


def _whole_values(
    cfg: Config, policy: PreTrainedModel, reward_models: Sequence[Path]
) -> ScalarModel:
    """A copy of the reward model (Stiennon et al. 2020, arXiv 2009.01325); or a head of zeros on
    the reward model's backbone (AlpacaFarm) or on the policy's."""
    start = cfg.ppo.value_init
    if start == "policy":
        return scalar_model_from(policy, seed=cfg.seed, head_std=0.0)
    values = load_scalar_model(_first(reward_models, start), **attention_of(cfg.model))
    return values.with_zero_head() if start == "reward_backbone" else values


def _first(reward_models: Sequence[Path], start: str) -> Path:
    if not reward_models:
        raise ValueError(
            f"ppo.value_init={start} needs a reward model: set ppo.value_init=policy or"
            " scorer=reward_model"
        )
    return reward_models[0]


# --- adapters


def _views(
    context: StageContext, sft: Path, reward_models: Sequence[Path], moving: bool, valued: bool
) -> Roles:
    """The policy is an adapter beside the network of the SFT policy, and the reference is the same
    network without it, or with the adapter that SFT has left. Value and reward model are further
    adapters there, or on networks of their own (model/sharing)."""
    networks, cfg = context.networks(), context.cfg
    start = networks.policy(sft)
    assert isinstance(start, PolicyView)
    start.requires_grad_(False)
    policy = policy_beside(start, "policy", cfg)
    scored = frozen_scalars(networks, reward_models)
    values = None
    if valued and cfg.ppo.value_init == "policy":
        values = _values_of_policy(networks, sft, start, cfg)
    elif valued:
        _first(reward_models, cfg.ppo.value_init)
        values = _values_of_reward_model(networks, reward_models[0], scored[0], start, cfg)
    return Roles(
        policy=policy.requires_grad_(True),
        start=start,
        reference=policy_beside(start, "reference", cfg) if moving else start,
        value_model=values,
        reward_models=scored,
    )


def policy_beside(start: PolicyView, name: str, cfg: Config) -> PolicyView:
    """A policy with an adapter of its own that is, until it is trained, the policy `start`: a copy
    of that one's adapter, or a fresh one, which changes nothing."""
    shared = start.shared
    shared.add(name, _lora(start, cfg), seed=cfg.seed)
    view = PolicyView(shared, name)
    if start.adapters:
        view.start_from(start)
    return view


def _lora(start: PolicyView | ScalarView, cfg: Config) -> Lora:
    """That of the adapter that a view has, or else of the config."""
    return start.shared.adapters[start.adapters[-1]] if start.adapters else lora_of(cfg.adapter)


def scalar_beside(start: PolicyView, name: str, cfg: Config, *, seed: int) -> ScalarView:
    """A scalar head on the network of a policy: with an adapter of its own, that begins as the
    policy's; with model/adapter=head the head alone, on what the policy's network gives."""
    if cfg.adapter.kind == "head":
        return head_alone(ScalarView(start.shared, *start.adapters, seed=seed))
    start.shared.add(name, _lora(start, cfg), seed=seed)
    view = ScalarView(start.shared, name, seed=seed)
    if start.adapters:
        view.load_state_dict({**view.state_dict(), **start.state_dict()})
    return view.requires_grad_(True)


def head_alone(view: ScalarView) -> ScalarView:
    """The view, of which the head alone is trained."""
    view.requires_grad_(False)
    view.head.requires_grad_(True)
    return view


def _values_of_policy(networks: Networks, sft: Path, start: PolicyView, cfg: Config) -> ScalarView:
    """A head of zeros on the network of the SFT policy."""
    if not cfg.adapter.shares:
        own = networks.policy(sft)  # loaded once more
        assert isinstance(own, PolicyView)
        start = own
    return scalar_beside(start, "value", cfg, seed=cfg.seed).with_zero_head()


def _values_of_reward_model(
    networks: Networks, folder: Path, reward: Scalar, start: PolicyView, cfg: Config
) -> ScalarView:
    """A copy of the reward model's adapter and head, or of its adapter under a head of zeros."""
    if cfg.adapter.shares and not (
        isinstance(reward, ScalarView) and reward.shared is start.shared
    ):
        raise ModelError([f"ppo.value_init={cfg.ppo.value_init}: {OWN_NETWORK} ({folder})"])
    if not cfg.adapter.shares:
        reward = networks.scalar(folder)  # a network of its own
    values = (
        _beside_view(reward, cfg) if isinstance(reward, ScalarView) else _beside_whole(reward, cfg)
    )
    return values.with_zero_head() if cfg.ppo.value_init == "reward_backbone" else values


def _beside_view(reward: ScalarView, cfg: Config) -> ScalarView:
    if cfg.adapter.kind == "head":
        values = ScalarView(reward.shared, *reward.adapters)
        values.start_from(reward)
        return head_alone(values)
    reward.shared.add("value", _lora(reward, cfg), seed=cfg.seed)
    values = ScalarView(reward.shared, "value")
    if reward.adapters:
        values.start_from(reward)
    else:
        values.head.load_state_dict(reward.head.state_dict())
        values.set_normalization(*reward.normalization)
    return values.requires_grad_(True)


def _beside_whole(reward: Scalar, cfg: Config) -> ScalarView:
    """Beside the network of a reward model that has one: it is frozen, and its head copied."""
    shared = SharedBackbone(reward.network)
    lora = lora_of(cfg.adapter)
    head = "score"  # transformers' name for it: no layer of the network
    chosen = tuple(n for n in chosen_layers(reward.network, lora.targets) if n != head)
    if cfg.adapter.kind == "head":
        values = ScalarView(shared)
    else:
        shared.add("value", Lora(r=lora.r, alpha=lora.alpha, targets=chosen), seed=cfg.seed)
        values = ScalarView(shared, "value")
    values.head.load_state_dict({"weight": reward.head.weight.detach()})
    values.set_normalization(*reward.normalization)
    return head_alone(values) if cfg.adapter.kind == "head" else values.requires_grad_(True)
