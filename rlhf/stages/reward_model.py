"""The reward-model stage: preference pairs to a scorer, normalised on the SFT policy's own
responses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rlhf.data.collate import (
    collate_preferences,
    collate_prompts,
    encode_preferences,
    eos_id,
    pad_id,
)
from rlhf.data.labelling import Response, label_pairs
from rlhf.data.loaders import ShuffledBatches, draw_prompts, in_order
from rlhf.data.records import DataError, Preference, Split
from rlhf.digests import digest
from rlhf.models.load import scalar_model_from
from rlhf.models.scalar import ScalarModel
from rlhf.modules.reward_model import RewardModule
from rlhf.randomness import derive_seed, generator
from rlhf.rollout.engines.base import Sampling, decode
from rlhf.rollout.engines.torch import TorchEngine
from rlhf.stages.context import Parents, StageContext, last_record
from rlhf.tracking.base import Tracker
from rlhf.types import Rollout

SAMPLE_ROWS = 128  # responses of the SFT policy generated at once


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """The pairs, or what they are sampled from, and what the scores are normalised on."""
    if context.data.preferences is not None:
        pairs: Any = digest(context.data.preferences)
    else:  # sampled from the SFT policy, labelled by gold: the source's own settings decide both
        pairs = context.deciding("data", without=("path",))
    sampled = {
        "prompts": digest(context.data.prompts),
        "max_new_tokens": context.cfg.generation.max_new_tokens,
    }
    return {"pairs": pairs, "sampled": sampled}


def train_reward_model(
    context: StageContext, parents: Parents, work: Path, tracker: Tracker
) -> dict[str, Any]:
    """Ends with the reward model in `work`; returns its metrics."""
    settings, sft = context.cfg.reward_model, parents["sft"]
    pairs = context.data.preferences or sample_preferences(context, sft)
    collate = partial(collate_preferences, fill=pad_id(context.tokenizer))
    train = encode_preferences(context.tokenizer, pairs.train, settings.max_length)
    heldout = encode_preferences(context.tokenizer, pairs.heldout, settings.max_length)
    cut = sum(row.chosen.cut or row.rejected.cut for row in train)
    context.tell_cut("reward_model", cut, len(pairs.train), dropped=len(pairs.train) - len(train))
    backbone = (
        context.load_policy(sft)
        if settings.init == "sft"
        else context.model.causal_lm(context.tokenizer)
    )
    model = scalar_model_from(backbone, seed=settings.seed)
    module = RewardModule(
        model,
        make_optimizer=context.optimizer(settings.optimizer),
        heldout=lambda: in_order(heldout, settings.batch_size, collate),
        epochs=settings.epochs,
        margin=settings.margin,
        centering=settings.centering,
        lr_schedule=settings.lr_schedule,
        lr_warmup=settings.lr_warmup,
    )
    batches = ShuffledBatches(
        train,
        settings.batch_size,
        collate,
        seed=settings.seed,
        stage="reward_model",
        epoch=lambda: module.iteration,
    )
    context.fit(
        module,
        batches,
        directory=work,
        grad_clip=settings.grad_clip,
        checkpoint_every=settings.checkpoint_every,
        tracker=tracker,
    )
    metrics = {**last_record(work), "rows": len(train), "rows_cut": cut}
    if settings.normalize:
        metrics |= normalize(context, model, sft, settings.normalize_samples)
    model.save(work, context.tokenizer)
    return metrics


def normalize(
    context: StageContext, model: ScalarModel, sft: Path, samples: int
) -> dict[str, float]:
    """Scores of the SFT policy's responses get mean 0 and std 1; what they were is recorded in
    the model's config."""
    parts = sample_responses(context, sft, samples, "normalize", context.data.prompts.train)
    model.to(context.device)
    with torch.no_grad():
        model.normalize(torch.cat([model.score(part.sequence, part.attention) for part in parts]))
    model.cpu()
    mean, std = model.normalization
    return {"score_mean": mean, "score_std": std}


def sample_responses(
    context: StageContext, sft: Path, count: int, purpose: str, prompts: Sequence[str]
) -> list[Rollout]:
    """`count` responses of the SFT policy itself (temperature 1, nothing cut off), over the
    prompts in random order."""
    policy = context.load_policy(sft).to(context.device)  # type: ignore[arg-type]
    sampling = Sampling(max_new_tokens=context.cfg.generation.max_new_tokens)
    engine = TorchEngine(policy, eos_id(context.tokenizer), pad_id(context.tokenizer))
    seed, parts = context.cfg.reward_model.seed, []
    drawn = draw_prompts(prompts, count, seed, 1)
    for start in range(0, count, SAMPLE_ROWS):
        batch = collate_prompts(context.tokenizer, drawn[start : start + SAMPLE_ROWS])
        draws = generator(seed, "reward_model", purpose, start, device=context.device)
        parts.append(engine.respond(batch.to(context.device), sampling, draws))
    return parts


def sample_preferences(context: StageContext, sft: Path) -> Split[Preference]:
    """Two responses of the SFT policy to each prompt, labelled by gold as the data's own pairs
    would be."""
    train, heldout = context.source.pairs, max(1, context.source.pairs // 10)
    prompts = context.data.prompts
    return Split(
        train=_labelled(context, sft, train, "train", prompts.train),
        heldout=_labelled(context, sft, heldout, "heldout", prompts.heldout),
    )


def _labelled(
    context: StageContext, sft: Path, count: int, side: str, prompts: Sequence[str]
) -> tuple[Preference, ...]:
    gold = context.source.gold
    if gold is None:
        raise DataError(
            "there are no preferences and no gold reward to label sampled pairs by: set"
            " data.preferences or data.gold"
        )
    texts: list[str] = []
    responses: dict[str, list[Response]] = {}
    for which in "ab":
        parts = sample_responses(context, sft, count, f"pairs-{side}-{which}", prompts)
        texts = [text for part in parts for text in part.prompt.texts]
        ended = [ended for part in parts for ended in part.ended.tolist()]
        decoded = [text for part in parts for text in decode(part, context.tokenizer)]
        responses[which] = [Response(*pair) for pair in zip(decoded, ended, strict=True)]
    seed = derive_seed(context.cfg.reward_model.seed, "reward_model", "labels", side)
    temperature = context.source.label_temperature
    return label_pairs(
        texts, responses["a"], responses["b"], gold, temperature=temperature, seed=seed, ties=False
    )
