"""The PPO stage: a policy, a scorer and a KL penalty to a run's numbers."""

from __future__ import annotations

import copy
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from rlhf.config.build import build
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES
from rlhf.data.collate import collate_prompts, eos_id, pad_id
from rlhf.data.loaders import draw_prompts
from rlhf.digests import digest, file_digest
from rlhf.kl.penalty import KLPenalty
from rlhf.models.load import load_scalar_model, scalar_model_from
from rlhf.models.scalar import ScalarModel
from rlhf.modules.parts import Frozen, PPOSettings, PromptSource
from rlhf.modules.ppo import CollectedMinibatches, PPOModule, ppo_parameter_groups
from rlhf.rollout.engines.torch import Sampling
from rlhf.rollout.score import Judges
from rlhf.stages.context import Parents, StageContext
from rlhf.tracking.base import Tracker


def kl_penalty(cfg: Config) -> KLPenalty:
    kl = cfg.kl
    return KLPenalty(
        build(kl.controller, coef=kl.coef),
        build(kl.estimator),
        build(kl.placement),
        build(kl.reference),
        top_k=cfg.generation.top_k,
        top_p=cfg.generation.top_p,
        temperature=cfg.generation.temperature,
    )


def ppo_module(shop: StageContext, sft: Path, reward_model: Path | None) -> PPOModule:
    cfg, tokenizer = shop.cfg, shop.tokenizer
    policy, start = shop.load_policy(sft), shop.load_policy(sft).requires_grad_(False)
    kl = kl_penalty(cfg)
    heldout = shop.data.prompts.heldout
    prompts = PromptSource(
        draw=lambda i: collate_prompts(
            tokenizer, draw_prompts(shop.data.prompts.train, cfg.ppo.rollout_size, cfg.seed, i)
        ),
        heldout=collate_prompts(
            tokenizer, [heldout[i % len(heldout)] for i in range(cfg.evaluation.prompts)]
        ),
        training=lambda: collate_prompts(tokenizer, shop.data.prompts.train),
    )
    given = {
        **dict(cfg.ppo),
        **dict(cfg.scorer),
        "eval_every": cfg.evaluation.every,
        "eval_samples": cfg.evaluation.samples,
    }
    chosen = PPOSettings.__dataclass_fields__
    return PPOModule(
        policy,
        value_model(cfg, policy, reward_model),
        frozen=Frozen(
            reference=copy.deepcopy(start) if kl.moves_reference else start,
            judges=judges_of(shop, reward_model),
            scorer=build(cfg.scorer),
            sft=start if kl.moves_reference else None,
        ),
        prompts=prompts,
        kl=kl,
        trust_region=build(cfg.trust_region),
        make_optimizer=partial(make_optimizer, cfg),
        settings=PPOSettings(**{name: value for name, value in given.items() if name in chosen}),
        advantage=build(cfg.advantage),
        sampling=Sampling(**dict(cfg.generation)),
        eos=eos_id(tokenizer),
        pad=pad_id(tokenizer),
        seed=cfg.seed,
    )


def judges_of(shop: StageContext, reward_model: Path | None) -> Judges:
    return Judges(
        tokenizer=shop.tokenizer,
        reward_model=(
            None
            if reward_model is None
            else load_scalar_model(reward_model).eval().requires_grad_(False)
        ),
        gold=shop.source.gold,
        others=shop.source.judges,
    )


def value_model(cfg: Config, policy: PreTrainedModel, reward_model: Path | None) -> ScalarModel:
    """A copy of the reward model (Stiennon et al. 2020, arXiv 2009.01325), or the policy's
    backbone under a head of zeros."""
    if cfg.ppo.value_init == "reward_model":
        if reward_model is None:
            raise ValueError(
                "ppo.value_init=reward_model needs a reward model: set ppo.value_init=policy or"
                " scorer=reward_model"
            )
        return load_scalar_model(reward_model)
    return scalar_model_from(policy, seed=cfg.seed, head_std=0.0)


def make_optimizer(
    cfg: Config, policy: PreTrainedModel, values: ScalarModel
) -> torch.optim.Optimizer:
    groups = ppo_parameter_groups(policy, values, value_lr=cfg.ppo.value_lr)
    optimizer: torch.optim.Optimizer = build(cfg.ppo.optimizer, params=groups)
    return optimizer


def fingerprint_parts(shop: StageContext) -> dict[str, Any]:
    """The sections that decide the policy, beside those of its parents, and its data: prompts by
    their content, the gold reward and the judges by the source's settings."""
    sections = {name: shop.deciding(name) for name in (*STAGES["ppo"].sections, "generation")}
    judges = shop.deciding("data", without=("path",))
    return {"sections": sections, "prompts": digest(shop.data.prompts), "judges": judges}


def train_ppo(
    shop: StageContext, parents: Parents, directory: Path, tracker: Tracker
) -> dict[str, Any]:
    """Ends with the final policy under `directory/policy`; returns its digest."""
    cfg = shop.cfg.ppo
    module = ppo_module(shop, parents["sft"], parents.get("reward_model"))
    shop.fit(
        module,
        CollectedMinibatches(module),
        directory=directory,
        grad_clip=cfg.grad_clip,
        checkpoint_every=cfg.checkpoint_every,
        tracker=tracker,
        accumulate=cfg.minibatch_size // (cfg.micro_batch_size or cfg.minibatch_size),
    )
    # not over files that an artifact may share
    shutil.rmtree(directory / "policy", ignore_errors=True)
    module.policy.save_pretrained(directory / "policy")
    shop.tokenizer.save_pretrained(directory / "policy")
    return {"policy_sha256": file_digest(directory / "policy" / "model.safetensors")}
