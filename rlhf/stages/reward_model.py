"""The reward-model stage: preference pairs to a reward model, normalised on the SFT
policy's own responses."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rlhf.config.properties import is_trained, normalizes, reads_sft
from rlhf.data.collate import collate_preferences
from rlhf.data.records import Preference, Split
from rlhf.models.networks import Policy
from rlhf.models.scalar import Scalar, scores
from rlhf.models.training.features import Features
from rlhf.modules.supervised.reward_model import RewardModule
from rlhf.rollout.engines.base import closed
from rlhf.rollout.finite import judge_sources, require_finite
from rlhf.rundir.errors import NonFinite
from rlhf.stages.adapted.base import adapter_part
from rlhf.stages.adapted.reward_model import untrained
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.outside.pieces import reward_model_piece
from rlhf.stages.outside.take import enter_reward_model, given_reward_model
from rlhf.stages.preferences.annotator import annotator_part
from rlhf.stages.preferences.pairs import preferences_of
from rlhf.stages.preferences.sampled import sample_responses
from rlhf.stages.rows import at_once, encoded_rows, pairs_part, sampled_part
from rlhf.stages.sft import text_parts, train_on_rows
from rlhf.tracking.base import Tracker

log = logging.getLogger(__name__)


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """The pairs, or what they are sampled from and who labels them, and what the scores are
    normalised on."""
    cfg, settings = context.cfg, context.cfg.reward_model
    sampled = sampled_part(context) if samples_policy(context) else None
    if piece := reward_model_piece(cfg):
        kept = {"kept": "adapter"} if piece.stays_adapter(cfg) else {}
        own = {"model": piece.identity(), "sampled": sampled, **kept}
        drawn = {"seed": settings.seed, "samples": settings.normalize_samples}
        return {**own, "settings": drawn} if sampled else {**own, "settings": None, "trainer": None}
    apart = settings.init == "model" and (
        context.start is not context.model or not reads_sft(cfg)  # else SFT's covers the model
    )
    return {
        "pairs": pairs_part(context),
        **annotator_part(context),
        "on_long_prompt": context.long_prompts("preferences").rule,
        "sampled": sampled,
        **adapter_part(cfg, "reward_model"),
        **({"model": context.model.identity(), **text_parts(context)} if apart else {}),
    }


def samples_policy(context: StageContext) -> bool:
    """True if responses of the SFT policy are drawn: to normalise the scores on, or for pairs."""
    settings = context.cfg.reward_model
    return normalizes(settings) or (settings.path is None and context.data.preferences is None)


def train_reward_model(
    context: StageContext, parents: Parents, work: Path, tracker: Tracker
) -> dict[str, Any]:
    """Ends with the reward model in `work`; returns its metrics."""
    settings, networks = context.cfg.reward_model, context.networks()
    if not is_trained(context.cfg, "reward_model"):
        return take_reward_model(context, parents, work)
    model, base = untrained(context, networks, parents)
    pairs = preferences_of(context, lambda: networks.policy(parents["sft"]))
    metrics = train_on_rows(
        context,
        "reward_model",
        pairs,
        make_module=partial(
            RewardModule,
            model,
            margin=settings.margin,
            centering=settings.centering,
            features=features_of(context, model, pairs) if settings.trained == "head" else None,
        ),
        collate=partial(collate_preferences, fill=context.rendering.pad_id),
        work=work,
        tracker=tracker,
    )
    if normalizes(settings):
        metrics |= normalize(context, model, networks.policy(parents["sft"]))
    context.save_reward_model(model, work, base)
    warnings = chance_warning(metrics)
    for warning in warnings:
        log.warning("%s", warning)
    return {**metrics, "warnings": warnings}


def take_reward_model(context: StageContext, parents: Parents, work: Path) -> dict[str, Any]:
    """Ends with the reward model of `reward_model.path` in `work`, normalised anew where the config
    asks for it; returns its metrics."""
    model, metrics = given_reward_model(context), {}
    if normalizes(context.cfg.reward_model):
        metrics = normalize(context, model, context.networks().policy(parents["sft"]))
    enter_reward_model(context, model, work)
    return {**metrics, "warnings": []}


def features_of(context: StageContext, model: Scalar, pairs: Split[Preference]) -> Features:
    """What the frozen backbone makes of all texts of the pairs."""
    rows = encoded_rows(context, "reward_model", pairs)
    texts = [
        side.ids for pair in (*rows.train, *rows.heldout) for side in (pair.chosen, pair.rejected)
    ]
    limit = at_once(context.cfg.reward_model)
    features = Features(model, texts, at_once=limit, device=context.device)
    log.info(
        "reward_model: the frozen backbone has read the %d texts that differ, of %d",
        *(len(features), len(texts)),
    )
    return features


def chance_warning(metrics: Mapping[str, Any]) -> list[str]:
    """A sentence where the accuracy on n held-out pairs is not above 1/2 by two standard errors of
    guessing, 2 sqrt(1/4 / n) = 1 / sqrt(n); empty where it is, or where no pair is held out."""
    accuracy, pairs = metrics.get("val/accuracy"), metrics.get("val/pairs")
    if accuracy is None or not pairs or accuracy > 0.5 + (error := pairs**-0.5):
        return []
    return [
        f"the reward model ranks {accuracy:.1%} of {pairs} held-out pairs right, which is not above"
        f" guessing by two standard errors (50 % + {error:.1%}): its scores may say nothing"
    ]


def normalize(context: StageContext, model: Scalar, policy: Policy) -> dict[str, float]:
    """Scores of the SFT policy's responses get mean 0 and std 1; what they were is recorded in
    the model's config."""
    count, prompts = context.cfg.reward_model.normalize_samples, context.fitted.prompts.train
    parts = sample_responses(context, policy, count, "normalize", prompts)
    model.to(context.device)
    limit = at_once(context.cfg.reward_model)
    with torch.no_grad():
        given = [
            scores(model, *closed(part, context.tokenizer, context.stops), limit) for part in parts
        ]
    for part, score in zip(parts, given, strict=True):
        where = "reward_model, reward_model.normalize"
        require_finite(judge_sources({"proxy": score}), part.mask, part.prompt.texts, where)
    model.normalize(torch.cat(given))
    model.cpu()
    mean, std = model.normalization
    if not (math.isfinite(mean) and math.isfinite(std)):
        raise NonFinite(f"reward_model: its scores have mean {mean} and std {std}: they overflow")
    return {"score_mean": mean, "score_std": std}
