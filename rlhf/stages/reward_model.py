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
from rlhf.stages.context import Workshop, last_record
from rlhf.tracking.base import Tracker
from rlhf.types import Rollout

SAMPLE_ROWS = 128  # responses of the SFT policy generated at once


def reward_model_fingerprint(shop: Workshop, sft: str) -> str:
    if shop.data.preferences is not None:
        pairs: Any = digest(shop.data.preferences)
    else:  # sampled from the SFT policy, labelled by gold: the source's own settings decide both
        pairs = shop.deciding("data", without=("path",))
    sampled = {
        "prompts": digest(shop.data.prompts),
        "max_new_tokens": shop.cfg.generation.max_new_tokens,
    }
    return shop.fingerprint("reward_model", sft=sft, pairs=pairs, sampled=sampled)


def reward_model_artifact(shop: Workshop, sft: Path) -> Path:
    identity = reward_model_fingerprint(shop, sft.name)
    return shop.artifact(
        "reward_model",
        identity,
        {"sft": sft.name},
        partial(_train, shop, sft),
    )


def _train(shop: Workshop, sft: Path, work: Path, tracker: Tracker) -> dict[str, Any]:
    settings = shop.cfg.reward_model
    pairs = shop.data.preferences or sample_preferences(shop, sft)
    collate = partial(collate_preferences, fill=pad_id(shop.tokenizer))
    train = encode_preferences(shop.tokenizer, pairs.train, settings.max_length)
    heldout = encode_preferences(shop.tokenizer, pairs.heldout, settings.max_length)
    cut = sum(row.chosen.cut or row.rejected.cut for row in train)
    shop.tell_cut("reward_model", cut, len(pairs.train), dropped=len(pairs.train) - len(train))
    backbone = (
        shop.load_policy(sft) if settings.init == "sft" else shop.model.causal_lm(shop.tokenizer)
    )
    model = scalar_model_from(backbone, seed=settings.seed)
    module = RewardModule(
        model,
        make_optimizer=shop.optimizer(settings.optimizer),
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
    shop.fit(
        module,
        batches,
        directory=work,
        grad_clip=settings.grad_clip,
        checkpoint_every=settings.checkpoint_every,
        tracker=tracker,
    )
    metrics = {**last_record(work), "rows": len(train), "rows_cut": cut}
    if settings.normalize:
        metrics |= normalize(shop, model, sft, settings.normalize_samples)
    model.save(work, shop.tokenizer)
    return metrics


def normalize(shop: Workshop, model: ScalarModel, sft: Path, samples: int) -> dict[str, float]:
    """Scores of the SFT policy's responses get mean 0 and std 1; what they were is recorded in
    the model's config."""
    parts = sample_responses(shop, sft, samples, "normalize", shop.data.prompts.train)
    model.to(shop.device)
    with torch.no_grad():
        model.normalize(torch.cat([model.score(part.sequence, part.attention) for part in parts]))
    model.cpu()
    mean, std = model.normalization
    return {"score_mean": mean, "score_std": std}


def sample_responses(
    shop: Workshop, sft: Path, count: int, purpose: str, prompts: Sequence[str]
) -> list[Rollout]:
    """`count` responses of the SFT policy itself (temperature 1, nothing cut off), over the
    prompts in random order."""
    policy = shop.load_policy(sft).to(shop.device)  # type: ignore[arg-type]
    sampling = Sampling(max_new_tokens=shop.cfg.generation.max_new_tokens)
    engine = TorchEngine(policy, eos_id(shop.tokenizer), pad_id(shop.tokenizer))
    seed, parts = shop.cfg.reward_model.seed, []
    drawn = draw_prompts(prompts, count, seed, 1)
    for start in range(0, count, SAMPLE_ROWS):
        batch = collate_prompts(shop.tokenizer, drawn[start : start + SAMPLE_ROWS])
        draws = generator(seed, "reward_model", purpose, start, device=shop.device)
        parts.append(engine.respond(batch.to(shop.device), sampling, draws))
    return parts


def sample_preferences(shop: Workshop, sft: Path) -> Split[Preference]:
    """Two responses of the SFT policy to each prompt, labelled by gold as the data's own pairs
    would be."""
    train, heldout = shop.source.pairs, max(1, shop.source.pairs // 10)
    prompts = shop.data.prompts
    return Split(
        train=_labelled(shop, sft, train, "train", prompts.train),
        heldout=_labelled(shop, sft, heldout, "heldout", prompts.heldout),
    )


def _labelled(
    shop: Workshop, sft: Path, count: int, side: str, prompts: Sequence[str]
) -> tuple[Preference, ...]:
    gold = shop.source.gold
    if gold is None:
        raise DataError(
            "there are no preferences and no gold reward to label sampled pairs by: set"
            " data.preferences or data.gold"
        )
    texts: list[str] = []
    responses: dict[str, list[Response]] = {}
    for which in "ab":
        parts = sample_responses(shop, sft, count, f"pairs-{side}-{which}", prompts)
        texts = [text for part in parts for text in part.prompt.texts]
        ended = [ended for part in parts for ended in part.ended.tolist()]
        decoded = [text for part in parts for text in decode(part, shop.tokenizer)]
        responses[which] = [Response(*pair) for pair in zip(decoded, ended, strict=True)]
    seed = derive_seed(shop.cfg.reward_model.seed, "reward_model", "labels", side)
    temperature = shop.source.label_temperature
    return label_pairs(
        texts, responses["a"], responses["b"], gold, temperature=temperature, seed=seed, ties=False
    )
