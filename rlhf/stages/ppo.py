"""The PPO stage: a policy, a scorer and a KL penalty to a run's numbers."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from rlhf.config.build import build
from rlhf.config.properties import trains_values
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES
from rlhf.data.collate import collate_prompts
from rlhf.data.loaders import draw_prompts
from rlhf.digests import digest, file_digest
from rlhf.kl.penalty import KLPenalty
from rlhf.models.load import attention_of, load_scalar_model, scalar_model_from
from rlhf.models.policy import PolicyReader
from rlhf.models.scalar import ScalarModel
from rlhf.modules.online import CollectedMinibatches, OnlineModule
from rlhf.modules.parts import EvaluationSettings, OnlineParts, OnlineSettings, PromptSource
from rlhf.rollout.score import Judges
from rlhf.stages.context import Parents, StageContext
from rlhf.tracking.base import Tracker
from rlhf.types import AtOnce


def ppo_module(context: StageContext, sft: Path, reward_model: Path | None) -> OnlineModule:
    """The algorithm's module with its live objects: built as `cfg.algorithm` says."""
    cfg = context.cfg
    kl = KLPenalty(
        build(cfg.kl.controller, coef=cfg.kl.coef),
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
    module: OnlineModule = build(
        cfg.algorithm,
        parts=online_parts(context, sft, reward_model, settings, moving=kl.moves_reference),
        kl=kl,
        trust_region=build(cfg.trust_region),
        advantage=build(cfg.advantage),
        settings=settings,
    )
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
    collate = partial(collate_prompts, context.rendering, limit=context.fitted.limit)
    policy = context.load_policy(sft)
    start = PolicyReader(
        model=context.load_policy(sft).requires_grad_(False),
        temperature=settings.sampling.temperature,
        rows=settings.forward_rows,
        most_tokens=settings.micro_batch_tokens,
    )
    valued = trains_values(cfg.algorithm, cfg.advantage)
    return OnlineParts(
        policy=policy,
        value_model=value_model(cfg, policy, reward_model) if valued else None,
        reference=replace(start, model=copy.deepcopy(start.model)) if moving else start,
        start=start,
        engine=context.engine(policy),
        judges=judges_of(
            context,
            reward_model,
            AtOnce(rows=settings.micro_batch_size, tokens=settings.micro_batch_tokens),
        ),
        scorer=build(cfg.scorer),
        prompts=PromptSource(
            draw=lambda i: collate(draw_prompts(data.train, cfg.ppo.rollout_size, cfg.seed, i)),
            heldout=collate([*islice(cycle(data.heldout), cfg.evaluation.prompts)]),
            training=lambda: collate(data.train),
        ),
        make_optimizer=partial(make_optimizer, context),
    )


def judges_of(context: StageContext, reward_model: Path | None, at_once: AtOnce) -> Judges:
    """`at_once`: what a reward model reads in one forward pass."""
    every = [reward_model, *context.members] if reward_model else []
    how = attention_of(context.cfg.model)
    models = [load_scalar_model(path, **how).eval().requires_grad_(False) for path in every]
    return Judges(
        tokenizer=context.tokenizer,
        stops=context.stops,
        reward_model=next(iter(models), None),
        members=tuple(models[1:]),
        gold=context.source.gold,
        others=context.source.judges,
        at_once=at_once,
    )


def value_model(cfg: Config, policy: PreTrainedModel, reward_model: Path | None) -> ScalarModel:
    """A copy of the reward model (Stiennon et al. 2020, arXiv 2009.01325); or a head of zeros on
    the reward model's backbone (AlpacaFarm) or on the policy's."""
    start = cfg.ppo.value_init
    if start == "policy":
        return scalar_model_from(policy, seed=cfg.seed, head_std=0.0)
    if reward_model is None:
        raise ValueError(
            f"ppo.value_init={start} needs a reward model: set ppo.value_init=policy or"
            " scorer=reward_model"
        )
    values = load_scalar_model(reward_model, **attention_of(cfg.model))
    return values.with_zero_head() if start == "reward_backbone" else values


def make_optimizer(
    context: StageContext, policy: PreTrainedModel, values: ScalarModel | None
) -> torch.optim.Optimizer:
    """Over the policy and the value model, whose learning rate is its own where one is given."""
    settings = context.cfg.ppo
    groups: list[dict[str, Any]] = [{"params": context.model.trainable_parameters(policy)}]
    if values is not None:
        own = {} if settings.value_lr is None else {"lr": settings.value_lr}
        groups.append({"params": list(values.parameters()), **own})
    optimizer: torch.optim.Optimizer = build(settings.optimizer, params=groups)
    return optimizer


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """The sections that decide the policy, beside those of its parents, and its data: prompts by
    their content, the gold reward and the judges by the source's settings."""
    sections = {name: context.deciding(name) for name in (*STAGES["ppo"].sections, "generation")}
    return {
        "sections": sections,
        "prompts": digest(context.fitted.prompts),
        "judges": context.deciding("data", without=("path",)),
        **scorer_files(context),
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
    # not over files that an artifact may share
    shutil.rmtree(directory / "policy", ignore_errors=True)
    context.save_policy(module.policy, directory / "policy")
    return {"policy_sha256": file_digest(directory / "policy" / "model.safetensors")}
