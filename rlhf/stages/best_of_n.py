"""Best of n of the SFT policy, measured on held-out prompts: no run's own, so measured once for
all runs that share its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf.config.build import build
from rlhf.data.collate import collate_prompts
from rlhf.oracle import best_of_n_mean, bon_kl
from rlhf.randomness import generator
from rlhf.rollout.evaluate import mean_and_se
from rlhf.rollout.finite import judge_sources, require_finite
from rlhf.rollout.score import judged
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_json
from rlhf.stages.adapted.roles import frozen_scalars
from rlhf.stages.context import StageContext
from rlhf.stages.ppo import judges_of, scorer_files
from rlhf.stages.preferences.sampled import SAMPLE_ROWS
from rlhf.stages.provenance.manifest import manifest
from rlhf.stages.rows import at_once

FILE = "best_of_n.json"


def best_of_n_curve(
    context: StageContext, sft: Path, reward_model: Path | None
) -> dict[str, list[dict[str, float]]]:
    """`points` for n = 1, 2, 4, ...: `n`, `kl/sequence_nats` = log n - (n-1)/n, and each judge's
    mean of the response that is kept."""
    settings = context.cfg.best_of_n
    parts = {
        "sft": sft.name,
        "reward_model": reward_model.name if reward_model else None,
        "scorer": context.deciding("scorer", without=("reward_clip",)),
        "generation": context.deciding("generation"),
        "data": context.data.fingerprint,
        "judges": context.deciding("data", without=("path",)),
        **scorer_files(context),
    }
    own = context.fingerprint("best_of_n", **parts)

    def make(work: Path) -> dict[str, Any]:
        write_json(work / FILE, {"points": measure(context, sft, reward_model)})
        return manifest(
            kind="artifact",
            stage="best_of_n",
            hash=own,
            name=f"best_of_n-{own}",
            seed=settings.seed,
            fingerprints={key: parts[key] for key in ("data", "sft", "reward_model")},
            config=settings.model_dump(),
            metrics={},
        )

    return read_json(context.store.get("best_of_n", own, make) / FILE)


@torch.no_grad()
def measure(context: StageContext, sft: Path, reward_model: Path | None) -> list[dict[str, float]]:
    """From `samples` responses to each prompt: unbiased at each prompt, the standard error over
    the prompts."""
    settings = context.cfg.best_of_n
    networks = context.networks()
    policy = networks.policy(sft).eval().to(context.device)  # type: ignore[arg-type]
    every = [reward_model, *context.members] if reward_model else []
    limit = at_once(context.cfg.reward_model)
    judges = judges_of(context, frozen_scalars(networks, every), limit)
    scorer = build(context.cfg.scorer)
    for model in judges.reward_models:
        model.to(context.device)
    engine = context.engine(policy)
    heldout = list(dict.fromkeys(context.fitted.prompts.heldout))[: settings.prompts]
    prompts = [prompt for prompt in heldout for _ in range(settings.samples)]
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(prompts), SAMPLE_ROWS):
        rows = prompts[start : start + SAMPLE_ROWS]
        batch = collate_prompts(context.rendering, rows, context.fitted.limit)
        draws = generator(settings.seed, "best_of_n", "responses", start, device=context.device)
        read = judges.read(engine.respond(batch.to(context.device), context.sampling, draws))
        responses, rank_by = judged(scorer, read)
        rollout = responses.rollout
        sources = {
            "log-probabilities of the SFT policy": rollout.logp,
            **judge_sources(responses.scores),
            "score of the scorer": rank_by,
        }
        require_finite(sources, rollout.mask, responses.prompts, "best_of_n")
        for name, score in {"": rank_by, **responses.scores}.items():
            parts.setdefault(name, []).append(score.cpu())
    scores = {
        name: torch.cat(column).view(len(heldout), settings.samples)
        for name, column in parts.items()
    }
    rank_by = scores.pop("")
    points = []
    for n in (2**k for k in range(settings.samples.bit_length())):
        row: dict[str, float] = {"n": n, "kl/sequence_nats": bon_kl(n)}
        for name, score in scores.items():
            row |= mean_and_se(f"reward/{name}", best_of_n_mean(rank_by, score, n))
        points.append(row)
    return points
