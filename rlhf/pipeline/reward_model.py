"""The reward-model stage: preference pairs to a scorer, normalised on the SFT policy's own responses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rlhf.data.collate import collate_preferences, collate_prompts, encode_preferences, eos_id, pad_id
from rlhf.data.loaders import ShuffledBatches, draw_prompts, in_order
from rlhf.data.records import Preference, Split
from rlhf.models.load import load_causal_lm, scalar_model_from
from rlhf.models.scalar import ScalarModel
from rlhf.modules.reward import RewardModule
from rlhf.pipeline.fingerprint import content
from rlhf.pipeline.workshop import Workshop, last_record
from rlhf.randomness import generator
from rlhf.rollout.generate import Sampling, decode, generate
from rlhf.tracking.base import Tracker
from rlhf.types import Rollout

SAMPLE_ROWS = 128


def reward_model_fingerprint(shop: Workshop, sft: str) -> str:
    if shop.data.preferences is not None:
        pairs: Any = content(shop.data.preferences)
    else:  # sampled from the SFT policy, labelled by gold: the source's own settings decide both
        pairs = shop.cfg.data.model_dump(by_alias=True, mode="json", exclude={"path"})
    prompts = content(shop.data.prompts)
    return shop.fingerprint("reward_model", shop.cfg.reward_model, sft=sft, pairs=pairs, prompts=prompts)


def reward_model_artifact(shop: Workshop, sft: Path) -> Path:
    identity = reward_model_fingerprint(shop, sft.name)
    return shop.artifact("reward_model", identity, shop.cfg.reward_model, {"sft": sft.name}, partial(_train, shop, sft))


def _train(shop: Workshop, sft: Path, work: Path, tracker: Tracker) -> dict[str, Any]:
    settings = shop.cfg.reward_model
    pairs = shop.data.preferences or sample_preferences(shop, sft)
    collate = partial(collate_preferences, fill=pad_id(shop.tokenizer))
    train = encode_preferences(shop.tokenizer, pairs.train, settings.max_length)
    heldout = encode_preferences(shop.tokenizer, pairs.heldout, settings.max_length)
    backbone = load_causal_lm(sft) if settings.init == "sft" else shop.model.causal_lm(shop.tokenizer)
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
        train, settings.batch_size, collate, seed=settings.seed, stage="reward_model", epoch=lambda: module.iteration
    )
    shop.fit(
        module, batches, directory=work, grad_clip=settings.grad_clip, checkpoint_every=settings.checkpoint_every, tracker=tracker
    )
    metrics = {**last_record(work), "rows": len(train), "rows_cut": sum(row.chosen.cut or row.rejected.cut for row in train)}
    if settings.normalize:
        metrics |= normalize(shop, model, sft, settings.normalize_samples)
    model.save(work, shop.tokenizer)
    return metrics


def normalize(shop: Workshop, model: ScalarModel, sft: Path, samples: int) -> dict[str, float]:
    """Scores of the SFT policy's responses get mean 0 and std 1; what they were is recorded in the model's config."""
    parts = sample_responses(shop, sft, samples, "normalize", shop.data.prompts.train)
    model.to(shop.device)
    with torch.no_grad():
        model.normalize(torch.cat([model.score(part.sequence, part.attention) for part in parts]))
    model.cpu()
    mean, std = model.normalization
    return {"score_mean": mean, "score_std": std}


def sample_responses(shop: Workshop, sft: Path, count: int, purpose: str, prompts: Sequence[str]) -> list[Rollout]:
    """`count` responses of the SFT policy itself (temperature 1, nothing cut off), over the prompts in random order."""
    policy = load_causal_lm(sft).to(shop.device)  # type: ignore[arg-type]
    sampling = Sampling(max_new_tokens=shop.cfg.generation.max_new_tokens)
    seed, parts = shop.cfg.reward_model.seed, []
    drawn = draw_prompts(prompts, count, seed, 1)
    for start in range(0, count, SAMPLE_ROWS):
        batch = collate_prompts(shop.tokenizer, drawn[start : start + SAMPLE_ROWS])
        draws = generator(seed, "reward_model", purpose, start, device=shop.device)
        parts.append(generate(policy, batch.to(shop.device), sampling, eos=eos_id(shop.tokenizer), pad=pad_id(shop.tokenizer), generator=draws))
    return parts


def sample_preferences(shop: Workshop, sft: Path) -> Split[Preference]:
    """Two responses of the SFT policy to each prompt; P(a preferred to b) = sigmoid((gold(a) - gold(b)) / label_temperature)."""
    train = shop.source.pairs
    heldout = max(1, train // 10)
    return Split(
        train=_labelled(shop, sft, train, "train", shop.data.prompts.train),
        heldout=_labelled(shop, sft, heldout, "heldout", shop.data.prompts.heldout),
    )


def _labelled(shop: Workshop, sft: Path, count: int, side: str, prompts: Sequence[str]) -> tuple[Preference, ...]:
    gold = shop.source.gold
    if gold is None:
        raise ValueError("data without preferences needs a gold reward to label sampled pairs: set data.preferences or data.gold")
    rows: list[Preference] = []
    first, second = (sample_responses(shop, sft, count, f"pairs-{side}-{i}", prompts) for i in "ab")
    draws = generator(shop.cfg.reward_model.seed, "reward_model", "labels", side)
    for a, b in zip(first, second, strict=True):
        texts = a.prompt.texts
        responses = decode(a, shop.tokenizer), decode(b, shop.tokenizer)
        gap = torch.tensor(gold(texts, responses[0])) - torch.tensor(gold(texts, responses[1]))
        a_wins = torch.rand(len(texts), generator=draws) < torch.sigmoid(gap / shop.source.label_temperature)
        for prompt, x, y, x_wins in zip(texts, *responses, a_wins.tolist(), strict=True):
            if x != y:
                rows.append(Preference(prompt=prompt, chosen=x if x_wins else y, rejected=y if x_wins else x))
    return tuple(rows)
