"""Metrics of a rollout: means with their standard errors, and a few responses to read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rlhf.digests import digest
from rlhf.functional.kl import k1, k2, k3, log_ratio_clip_fraction, sequence_nats, token_nats
from rlhf.functional.masking import masked_mean, masked_sum
from rlhf.functional.standard_errors import groups_of, mean_and_error
from rlhf.kl.penalty import KLPenalty, SteeringKL
from rlhf.rollout.score import Responses
from rlhf.types import Rollout, ScoredRollout, TokenView

Metrics = dict[str, float]


def mean_and_se(name: str, x: Tensor, groups: Tensor | None = None) -> Metrics:
    """x [B] -> its mean and the standard error of it; `groups` as in
    rlhf.functional.standard_errors."""
    mean, error = mean_and_error(x, groups)
    return {name: float(mean), f"{name}_se": float(error)}


def kl_metrics(rollout: Rollout, view: TokenView, prefix: str = "kl") -> Metrics:
    """Each estimate of the KL to the reference in nats per response and per token, with its
    standard error.

    `<prefix>/sequence_nats` and `token_nats` are k1's, and so on with `_k2`, `_k3`, and `_exact`
    where the view has it.
    """
    mask, groups = rollout.mask, groups_of(rollout.prompt.texts)
    logp, ref_logp = view.logp.double(), view.ref_logp.double()
    estimates = {
        "": k1(logp, ref_logp),
        "_k2": k2(logp, ref_logp),
        "_k3": k3(logp, ref_logp),
    }
    if view.exact_kl is not None:
        estimates["_exact"] = view.exact_kl
    metrics: Metrics = {}
    for ending, per_token in estimates.items():
        for unit, measure in (("sequence", sequence_nats), ("token", token_nats)):
            mean, error = measure(per_token, mask, groups)
            name = f"{prefix}/{unit}_nats{ending}"
            metrics |= {name: float(mean), f"{name}_se": float(error)}
    # beyond k3's clamp
    return metrics | {
        f"{prefix}/log_ratio_clipped": float(
            log_ratio_clip_fraction(view.logp, view.ref_logp, mask)
        )
    }


def response_metrics(rollout: Rollout, entropy: Tensor) -> Metrics:
    """Length in tokens (EOS counts), the share that ended, the policy's entropy in nats per
    token."""
    return {
        "response/length": float(rollout.mask.sum(1).float().mean()),
        "response/ended": float(rollout.ended.float().mean()),
        "policy/entropy": float(masked_mean(entropy, rollout.mask)),
    }


def steering_of(scored: ScoredRollout, penalty: KLPenalty) -> SteeringKL:
    """What moves the penalty's coefficient after a training rollout."""
    read = (scored.logp, scored.ref_logp, scored.kl, scored.rollout.mask)
    groups = groups_of(scored.rollout.prompt.texts)
    return penalty.steering_kl(*read, score=scored.score, groups=groups)


def rollout_metrics(
    scored: ScoredRollout, rewards: Tensor, penalty: KLPenalty, steering: SteeringKL
) -> Metrics:
    """The training rollout's metrics. `rewards`: the token rewards [B, T], the KL in them."""
    rollout = scored.rollout
    metrics = kl_metrics(rollout, scored) | response_metrics(rollout, scored.entropy)
    groups = groups_of(rollout.prompt.texts)
    for name, score in scored.judge_scores.items():
        metrics |= mean_and_se(f"reward/{name}", score, groups)
    penalised = masked_sum(rewards, rollout.mask, dim=1)
    metrics |= {
        "kl/coef": penalty.coef,
        "kl/penalty_nats": float(sequence_nats(scored.kl, rollout.mask)[0]),
        "ppo/score": float(scored.score.mean()),
        "ppo/score_clipped": float((scored.score != scored.raw_score).float().mean()),
        "ppo/shaped_reward": float(penalised.mean()),
    }
    return metrics | penalty.steering(steering)


def evaluate(
    responses: Responses, view: TokenView, score: Tensor, *, samples: int
) -> tuple[Metrics, list[dict[str, Any]]]:
    """Metrics under `eval/` and the first `samples` responses with their scores and KL. The metric
    `ppo/score` is the mean of `score` [B]: what the scorer makes of them, unclipped and before the
    KL."""
    rollout, groups = responses.rollout, groups_of(responses.prompts)
    metrics = kl_metrics(rollout, view) | response_metrics(rollout, view.entropy)
    metrics |= mean_and_se("ppo/score", score, groups)
    for name, score in responses.scores.items():
        metrics |= mean_and_se(f"reward/{name}", score, groups)
    table = [sample(responses, view, row) for row in range(min(samples, len(responses.prompts)))]
    return {f"eval/{name}": value for name, value in metrics.items()}, table


def by_prompt(responses: Responses, view: TokenView) -> dict[str, Any]:
    """Means over the responses to each prompt, prompts by first appearance: every reward, and the
    KL (k1) in nats per response, to 6 digits.

    `prompts` is a digest of the prompts in their order, so that values of two runs are of the same
    prompts where it is the same; `responses` says how many each had.
    """
    prompts = responses.prompts
    groups = groups_of(prompts)
    counts = torch.bincount(groups).double()
    columns = {f"reward/{name}": score for name, score in responses.scores.items()}
    columns["kl/sequence_nats"] = masked_sum(
        k1(view.logp.double(), view.ref_logp.double()), responses.rollout.mask, dim=1
    )
    means = {
        name: torch.zeros_like(counts).index_add_(0, groups, column.double().cpu()) / counts
        for name, column in columns.items()
    }
    return {
        "prompts": digest(list(dict.fromkeys(prompts)))[:16],
        "responses": counts.long().tolist(),
        **{name: [float(f"{x:.6g}") for x in mean.tolist()] for name, mean in means.items()},
    }


def sample(responses: Responses, view: TokenView, row: int) -> dict[str, Any]:
    """One response to read: `token_kl` is log pi - log ref of each of its `tokens` (EOS last, if
    it ended), which add up to its KL."""
    rollout, mask = responses.rollout, responses.rollout.mask[row]
    kl = (view.logp - view.ref_logp)[row][mask].tolist()
    return {
        "prompt": responses.prompts[row],
        "response": responses.texts[row],
        **{
            f"reward/{name}": round(float(score[row]), 4)
            for name, score in responses.scores.items()
        },
        "kl/sequence_nats": round(sum(kl), 4),
        "ended": bool(rollout.ended[row]),
        "tokens": token_texts(
            rollout.tokens[row][mask].tolist(), responses.tokenizer, responses.stops.anchor
        ),
        "token_kl": [round(nats, 4) for nats in kl],
    }


def token_texts(ids: Sequence[int], tokenizer: Any, anchor: Sequence[int] = ()) -> list[str]:
    """The text that each token adds after `anchor` (rlhf.rollout.engines.base), special tokens
    included. A character made of several tokens shows as U+FFFD until its last."""
    whole = [
        tokenizer.decode([*anchor, *ids[:end]], skip_special_tokens=False)
        for end in range(len(ids) + 1)
    ]
    return [
        after[len(os.path.commonprefix([before, after])) :]
        for before, after in zip(whole, whole[1:], strict=False)
    ]
