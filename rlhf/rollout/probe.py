"""Whether responses are drawn with the log-probabilities that training computes for them: asked of
a model once a run, and of every rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from rlhf.at_once import AtOnce
from rlhf.data.conversations import Prompt, asked
from rlhf.functional.masking import masked_mean
from rlhf.models.checks import positions_of
from rlhf.models.networks import Policy
from rlhf.models.policy import PolicyReader
from rlhf.randomness import generator
from rlhf.rollout.counts import GAP, GAP_MEAN, OFF
from rlhf.rollout.engines.base import Engine, Sampling
from rlhf.rundir.errors import ModelError
from rlhf.types import PromptBatch, Rollout

LENGTHS = (1, 2, 3, 5, 8)  # of the prompts, in tokens: padded on the left by different amounts
NEW_TOKENS = 8
# nats: more than rounding makes of one token's log-probability, step by step against all at once.
# In float32 sound models are 1e-6 to 1e-4 apart, XLNet 0.1, Mamba 0.6 to 7. In bfloat16 a model of
# 135M is up to 0.3 apart in 231 tokens, and 0.04 on average (docs/explanation/precision.md)
TOLERANCE = {torch.float32: 0.01, torch.float16: 0.15, torch.bfloat16: 1.0}
MEAN = 0.1  # of a tolerance of 16 bits: what the mean over a rollout's tokens may be


def tolerance(dtype: torch.dtype) -> float:
    return TOLERANCE.get(dtype, TOLERANCE[torch.float32])


def probe_prompts(ids: Tensor, positions: int | None) -> PromptBatch:
    """Prompts of LENGTHS random tokens out of `ids`, as far as the positions leave room."""
    room = min(LENGTHS[-1], (positions or 2 * NEW_TOKENS) // 2)
    lengths = [min(length, room) for length in LENGTHS]
    tokens = ids[torch.randint(len(ids), (len(lengths), room), generator=generator(0, "probe"))]
    mask = torch.arange(room) >= room - torch.tensor(lengths)[:, None]
    return PromptBatch(tokens=tokens, mask=mask, prompts=(Prompt(turns=asked("")),) * len(lengths))


@torch.no_grad()
def sampler_gaps(engine: Engine, model: Policy, ids: Tensor) -> tuple[float, float]:
    """The largest differences of a response token's log-probability, in nats: at sampling against
    the training forward of the same batch; and in that batch against the row by itself, without
    padding.

    `ids`: ids with text [N], that prompts are made of.
    """
    positions = positions_of(model.config)
    prompts = probe_prompts(ids, positions).to(model.device)
    room = NEW_TOKENS if positions is None else min(NEW_TOKENS, positions - positions // 2)
    draws = generator(0, "probe", "draws", device=model.device)
    rollout = engine.respond(prompts, Sampling(max_new_tokens=room), draws)
    reader = PolicyReader(model=model, temperature=1.0, at_once=AtOnce(rows=len(prompts)))
    together = reader.logp(rollout)
    alone = torch.cat([reader.logp(_unpadded(row)) for row in rollout.split(1)])
    return _largest(rollout.logp - together), _largest(together - alone)


def _unpadded(row: Rollout) -> Rollout:
    counted = row.prompt.mask[0]
    prompt = PromptBatch(
        tokens=row.prompt.tokens[:, counted],
        mask=row.prompt.mask[:, counted],
        prompts=row.prompt.prompts,
    )
    return replace(row, prompt=prompt)


def _largest(gap: Tensor) -> float:
    """NaN where one of them is."""
    return float(gap.abs().max())


def probe(engine: Engine, model: Policy, ids: Tensor, other: Engine | None = None) -> None:
    """Refuses a model whose responses cannot be drawn, or are drawn with other log-probabilities
    than training computes.

    Args:
        other: what `generation.engine=hf` would draw with: asked where the engine's draws are
            refused, so that the sentence names it if it would do.

    Raises:
        ModelError: with the model's type and the difference in nats.
    """
    reasons = faults(engine, model, ids)
    if reasons and other is not None and not faults(other, model, ids):
        reasons = [
            f"{reason}; or set generation.engine=hf, which draws it right" for reason in reasons
        ]
    if reasons:
        raise ModelError(reasons)


def faults(engine: Engine, model: Policy, ids: Tensor) -> list[str]:
    """Why no responses of the model can be drawn by this engine; empty where they can."""
    kind = model.config.model_type
    try:
        sampled, padded = sampler_gaps(engine, model, ids)
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        first = next(iter(str(error).splitlines()), "")
        return [f"models of type {kind} cannot be sampled here: {type(error).__name__}: {first}"]
    limit = tolerance(computed_in(model))
    differs = f"by up to {{:.2g}} nats a token ({limit:g} would be rounding)"
    reasons = []
    if not sampled <= limit:
        reasons.append(
            f"models of type {kind} draw responses with other log-probabilities than training"
            f" computes for them, {differs.format(sampled)}: ratios and KL would be of another"
            " policy; take a model with plain attention (llama, gpt2, ...)"
        )
    if not padded <= limit:
        reasons.append(
            f"models of type {kind} read a prompt otherwise when it is padded on the left,"
            f" {differs.format(padded)}: no batch of prompts of different lengths would be right;"
            " take a model with plain attention (llama, gpt2, ...)"
        )
    return reasons


def computed_in(model: Policy) -> torch.dtype:
    """What a forward pass of now computes in: autocast's type, or that of the network's weights
    (adapters over a backbone of 16 bits may have 32)."""
    weight = cast(torch.nn.Embedding, model.get_input_embeddings()).weight
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def logp_gap(
    rollout: Rollout, logp: Tensor, sampling: Sampling, dtype: torch.dtype = torch.float32
) -> dict[str, float]:
    """`rollout/logp_gap`: the largest |log-probability at sampling - recomputed| of a response
    token, in nats; `rollout/logp_off`: 1 where it is beyond rounding in `dtype`, which both were
    computed in. In 16 bits `rollout/logp_gap_mean` is the mean, and counts as well.

    logp [B, T] of the training forward, 0 where masked. Empty where top-k or top-p cut the
    distribution that is sampled: then the two are of different distributions.
    """
    if sampling.top_k > 0 or sampling.top_p < 1.0:
        return {}
    gap = (rollout.logp - logp).abs()
    mean = None if dtype.itemsize >= 4 else float(masked_mean(gap, rollout.mask))
    return gap_metrics(float(gap.max()), mean, dtype)


def gap_metrics(
    largest: float, mean: float | None = None, dtype: torch.dtype = torch.float32
) -> dict[str, float]:
    """The metrics of a gap whose largest, and in 16 bits mean, is known in nats."""
    limit = tolerance(dtype)
    if mean is None:
        return {GAP: largest, OFF: float(not largest <= limit)}
    off = not (largest <= limit and mean <= MEAN * limit)
    return {GAP: largest, GAP_MEAN: mean, OFF: float(off)}
