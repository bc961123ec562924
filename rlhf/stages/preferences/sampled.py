"""Responses of the SFT policy itself, for its reward model."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.data.collate import collate_prompts
from rlhf.data.conversations import Prompt
from rlhf.data.loaders import draw_prompts
from rlhf.models.networks import Policy
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.finite import require_finite
from rlhf.stages.context import StageContext
from rlhf.types import Rollout

SAMPLE_ROWS = 128  # responses of the SFT policy generated at once


def sample_responses(
    context: StageContext, policy: Policy, count: int, purpose: str, prompts: Sequence[Prompt]
) -> list[Rollout]:
    """`count` responses of the SFT policy itself (temperature 1, nothing cut off), over the
    prompts in random order."""
    policy.to(context.device)  # type: ignore[arg-type]
    sampling = Sampling(max_new_tokens=context.cfg.generation.max_new_tokens)
    engine = context.engine(policy)
    seed, parts = context.cfg.reward_model.seed, []
    drawn = draw_prompts(prompts, count, seed, 1)
    for start in range(0, count, SAMPLE_ROWS):
        batch = collate_prompts(
            context.rendering, drawn[start : start + SAMPLE_ROWS], context.fitted.limit
        )
        draws = generator(seed, "reward_model", purpose, start, device=context.device)
        part = engine.respond(batch.to(context.device), sampling, draws)
        sources = {"log-probabilities of the SFT policy": part.logp}
        require_finite(sources, part.mask, part.prompt.texts, f"reward_model, {purpose}")
        parts.append(part)
    return parts
