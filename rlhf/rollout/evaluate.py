"""What is said of a rollout: means with their standard errors, and a few responses to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from rlhf.functional.kl import k3, log_ratio_clip_fraction, sequence_nats, token_nats
from rlhf.functional.masking import masked_mean, masked_sum
from rlhf.kl.penalty import KLPenalty
from rlhf.rollout.collect import TokenView
from rlhf.rollout.generate import decode
from rlhf.rollout.score import Judges
from rlhf.types import Rollout, ScoredRollout

Metrics = dict[str, float]


def mean_and_se(name: str, x: Tensor) -> Metrics:
    """x [B] -> its mean and the standard error of it, std / sqrt(B)."""
    x = x.double()
    return {name: float(x.mean()), f"{name}_se": float(x.std(correction=1) / len(x) ** 0.5) if len(x) > 1 else float("nan")}


def kl_metrics(rollout: Rollout, view: TokenView) -> Metrics:
    """The KL to the reference in nats per response (k1, k3 and exact per token) and per token (k1)."""
    d, mask = view.logp - view.ref_logp, rollout.mask
    estimates = {"kl/sequence_nats": d, "kl/sequence_nats_k3": k3(view.logp, view.ref_logp), "kl/sequence_nats_exact": view.exact_kl}
    metrics: Metrics = {}
    for name, per_token in estimates.items():
        mean, se = sequence_nats(per_token, mask)
        metrics |= {name: float(mean), f"{name}_se": float(se)}
    clipped = float(log_ratio_clip_fraction(view.logp, view.ref_logp, mask))  # tokens beyond k3's clamp
    return metrics | {"kl/token_nats": float(token_nats(d, mask)), "kl/log_ratio_clipped": clipped}


def response_metrics(rollout: Rollout, entropy: Tensor) -> Metrics:
    """Length in tokens (EOS counts), the share that ended, the policy's entropy in nats per token."""
    return {
        "response/length": float(rollout.mask.sum(1).float().mean()),
        "response/ended": float(rollout.ended.float().mean()),
        "policy/entropy": float(masked_mean(entropy, rollout.mask)),
    }


def rollout_metrics(
    scored: ScoredRollout, rewards: Tensor, penalty: KLPenalty
) -> tuple[Metrics, tuple[float, float, int]]:
    """The training rollout's metrics, and (sequence nats, token nats, episodes) for the KL controller.

    The controller is fed the plain log-ratio, whatever estimator shapes the reward: an unbiased estimate of the KL it steers.
    """
    rollout = scored.rollout
    view = TokenView(logp=scored.logp, ref_logp=scored.ref_logp, exact_kl=scored.exact_kl, entropy=scored.entropy)
    metrics = kl_metrics(rollout, view) | response_metrics(rollout, scored.entropy)
    for name, score in scored.judged.items():
        metrics |= mean_and_se(f"reward/{name}", score)
    penalised = masked_sum(rewards, rollout.mask, dim=1)
    metrics |= {
        "kl/coef": penalty.coef,
        "kl/penalty_nats": float(sequence_nats(scored.kl, rollout.mask)[0]),
        "ppo/score": float(scored.score.mean()),
        "ppo/score_clipped": float((scored.score != scored.raw_score).float().mean()),
        "ppo/shaped_reward": float(penalised.mean()),
    }
    return metrics, (metrics["kl/sequence_nats"], metrics["kl/token_nats"], len(scored.score))


def evaluate(
    rollout: Rollout,
    view: TokenView,
    judges: Judges,
    score: Callable[[Rollout, Mapping[str, Tensor]], Tensor],
    *,
    samples: int,
) -> tuple[Metrics, list[dict[str, Any]]]:
    """Metrics under `eval/` and the first `samples` responses with their scores and KL.

    `score` makes what PPO maximises ([B], unclipped, before the KL) of the judges' scores: the metric `ppo/score`.
    """
    scores = judges.scores(rollout)
    metrics = kl_metrics(rollout, view) | response_metrics(rollout, view.entropy) | mean_and_se("ppo/score", score(rollout, scores))
    for name, judged in scores.items():
        metrics |= mean_and_se(f"reward/{name}", judged)
    kl = masked_sum(view.logp - view.ref_logp, rollout.mask, dim=1)
    responses = decode(rollout, judges.tokenizer)
    table = [
        {
            "prompt": rollout.prompt.texts[i],
            "response": responses[i],
            **{f"reward/{name}": round(float(judged[i]), 4) for name, judged in scores.items()},
            "kl/sequence_nats": round(float(kl[i]), 4),
            "ended": bool(rollout.ended[i]),
        }
        for i in range(min(samples, len(responses)))
    ]
    return {f"eval/{name}": value for name, value in metrics.items()}, table
