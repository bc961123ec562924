"""The PPO stage: a policy, a scorer and a KL penalty to a run's numbers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from rlhf.at_once import AtOnce
from rlhf.config.build import build
from rlhf.config.naming import stage_title
from rlhf.config.properties import controller_arguments, trains_values
from rlhf.config.stages import STAGES
from rlhf.data.collate import collate_prompts
from rlhf.data.loaders import draw_prompts
from rlhf.digests import file_digest
from rlhf.kl.penalty import KLPenalty
from rlhf.models.adapters.views import PolicyView
from rlhf.models.files.adapter import network_of, weights_file
from rlhf.models.networks import Policy
from rlhf.models.policy import PolicyReader
from rlhf.models.scalar import Scalar
from rlhf.modules.parts import (
    CollectedMinibatches,
    EvaluationSettings,
    OnlineParts,
    OnlineSettings,
    PromptSource,
)
from rlhf.modules.policy import PolicyModule
from rlhf.rollout.score import Judges
from rlhf.stages.adapted.roles import roles_of
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.learned.rows import (
    demonstrations_of,
    fingerprint_parts as learned_parts,
    pairs_of,
)
from rlhf.stages.win_rates import rate
from rlhf.tracking.base import Tracker


def ppo_module(context: StageContext, sft: Path, reward_model: Path | None) -> PolicyModule:
    """The algorithm's module with its live objects: built as `cfg.algorithm` says."""
    cfg = context.cfg
    kl = KLPenalty(
        build(cfg.kl.controller, **controller_arguments(cfg.kl, cfg.ppo)),
        build(cfg.kl.estimator),
        build(cfg.kl.placement),
        build(cfg.kl.reference),
        top_k=cfg.generation.top_k,
        top_p=cfg.generation.top_p,
    )
    names = OnlineSettings.__dataclass_fields__.keys() & dict(cfg.ppo)
    settings = OnlineSettings(
        **{name: getattr(cfg.ppo, name) for name in names},
        evaluation=EvaluationSettings(**dict(cfg.evaluation)),
        sampling=context.sampling,
        seed=cfg.seed,
    )
    module: PolicyModule = build(
        cfg.algorithm,
        parts=online_parts(context, sft, reward_model, settings, moving=kl.moves_reference),
        kl=kl,
        trust_region=build(cfg.trust_region),
        advantage=build(cfg.advantage),
        settings=settings,
    )
    module.title = stage_title(context.plain, "ppo")
    return module


def online_parts(
    context: StageContext,
    sft: Path,
    reward_model: Path | None,
    settings: OnlineSettings,
    *,
    moving: bool,
) -> OnlineParts:
    """The live objects. `moving`: the reference is a model of its own, beside the start."""
    cfg, data = context.cfg, context.fitted.prompts
    limit, ids = context.fitted.limit, context.prompt_ids
    collate = partial(collate_prompts, context.rendering, limit=limit, ids=ids)
    roles = roles_of(
        context,
        sft,
        [reward_model, *context.members] if reward_model else [],
        moving=moving,
        valued=trains_values(cfg.algorithm, cfg.advantage),
    )
    start = PolicyReader(
        model=roles.start,
        temperature=settings.sampling.temperature,
        at_once=settings.at_once,
    )
    return OnlineParts(
        policy=roles.policy,
        value_model=roles.value_model,
        reference=replace(start, model=roles.reference) if moving else start,
        start=start,
        engine=context.engine(roles.policy),
        judges=judges_of(context, roles.reward_models, settings.at_once),
        scorer=build(cfg.scorer),
        prompts=PromptSource(
            draw=lambda i: collate(
                draw_prompts(
                    *(data.train, cfg.ppo.rollout_size, cfg.seed, i),
                    each=cfg.ppo.responses_per_prompt,
                )
            ),
            heldout=collate([*islice(cycle(data.heldout), cfg.evaluation.prompts)]),
            training=lambda: collate(data.train),
        ),
        make_optimizer=partial(make_optimizer, context),
        pairs=pairs_of(context, sft),
        demonstrations=demonstrations_of(context),
        win_rate=rate.win_rate_of(context, sft, next(iter(roles.reward_models), None)),
    )


def judges_of(context: StageContext, reward_models: Sequence[Scalar], at_once: AtOnce) -> Judges:
    """`reward_models`: the run's, and those of its ensemble. `at_once`: what each reads in one
    forward pass."""
    return Judges(
        tokenizer=context.tokenizer,
        stops=context.stops,
        reward_model=next(iter(reward_models), None),
        members=tuple(reward_models[1:]),
        gold=context.source.gold,
        others=context.source.judges,
        at_once=at_once,
    )


def make_optimizer(
    context: StageContext, policy: Policy, values: Scalar | None
) -> torch.optim.Optimizer:
    """Over the policy and the value model, whose learning rate is its own where one is given."""
    settings = context.cfg.ppo
    own_part = context.model.trainable_parameters
    params = [*policy.parameters()] if isinstance(policy, PolicyView) else own_part(policy)
    groups: list[dict[str, Any]] = [{"params": params}]
    if values is not None:
        own = {} if settings.value_lr is None else {"lr": settings.value_lr}
        groups.append({"params": [p for p in values.parameters() if p.requires_grad], **own})
    optimizer: torch.optim.Optimizer = build(settings.optimizer, params=groups)
    return optimizer


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """The sections that decide the policy, beside those of its parents, and its data: prompts by
    their content, the gold reward and the judges by the source's settings, and the rows that the
    algorithm learns from."""
    own = (*STAGES["ppo"].sections, "generation", *(["adapter"] * context.cfg.adapter.is_used))
    sections = {name: context.deciding(name) for name in own}
    return {
        "sections": sections,
        "prompts": context.fitted.prompts.fingerprint,
        "judges": context.deciding("data", without=("path",)),
        **scorer_files(context),
        **learned_parts(context),
        **rate.fingerprint_part(context),
    }


def scorer_files(context: StageContext) -> dict[str, Any]:
    """What decides the scores beside the scorer's settings: the files of a classifier, say."""
    identity = getattr(build(context.cfg.scorer), "identity", lambda: None)()
    return {} if identity is None else {"scorer_files": identity}


def train_ppo(
    context: StageContext, parents: Parents, directory: Path, tracker: Tracker
) -> dict[str, Any]:
    """Ends with the final policy under `directory/policy`; returns its digest."""
    cfg = context.cfg.ppo
    module = ppo_module(context, parents["sft"], parents.get("reward_model"))
    context.fit(
        module,
        CollectedMinibatches(module),
        cfg,
        directory=directory,
        tracker=tracker,
    )
    return save_trained(context, parents, module.policy, directory)


def save_trained(
    context: StageContext, parents: Parents, policy: Policy, directory: Path
) -> dict[str, Any]:
    """Writes the policy under `directory/policy`; returns the digest of its weights."""
    # not over files that an artifact may share
    shutil.rmtree(directory / "policy", ignore_errors=True)
    base = network_of(parents["sft"]) if context.cfg.adapter.is_used else None
    context.save_policy(policy, directory / "policy", base)
    return {"policy_sha256": file_digest(weights_file(directory / "policy"))}
