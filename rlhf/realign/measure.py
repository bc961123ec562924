"""The curve of a policy's mixtures with the SFT policy it began from: KL and rewards of held-out
prompts at each lambda."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf.at_once import AtOnce
from rlhf.config.build import build
from rlhf.config.schema import Realign
from rlhf.data.collate import collate_prompts
from rlhf.metrics import KL
from rlhf.models.interpolate import Interpolated
from rlhf.models.networks import Policy
from rlhf.models.policy import PolicyReader
from rlhf.randomness import generator
from rlhf.rollout.engines.mixture import MixtureEngine
from rlhf.rollout.engines.table import ENGINES
from rlhf.rollout.evaluate import evaluate
from rlhf.rollout.finite import judge_sources, require_finite
from rlhf.rollout.score import Judges, judged
from rlhf.stages.adapted.roles import frozen_scalars
from rlhf.stages.context import StageContext
from rlhf.stages.ppo import judges_of
from rlhf.stages.rows import at_once
from rlhf.types import PromptBatch, Rollout, TokenView

VERSION = 1
# beside rewards, lengths and the score of training
NATS = tuple(f"{KL}{ending}" for ending in ("", "_se", "_exact", "_exact_se"))
Point = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where the models of a run are."""

    policy: Path
    start: Path  # the SFT policy
    reward_models: Sequence[Path]  # the run's, and those of its ensemble


@torch.no_grad()
def measure(context: StageContext, folders: Folders, settings: Realign) -> dict[str, Any]:
    """`curves`: for each way of `settings.by` the `points` of all lambdas, and `timings`, the CPU
    seconds that each way took. The prompts are those of the run's evaluations, `samples` responses
    to each; the same place in the batch has the same random numbers at every lambda and both
    ways."""
    loaded = Loaded.of(context, folders, settings)
    # weights last: they change the policy's
    makers = {"decoding": by_decoding, "weights": by_weights}
    curves, timings = [], {}
    for way in sorted({*settings.by}):
        begun = time.process_time()
        points = [
            loaded.point(weight, *drawn)
            for weight, drawn in zip(
                settings.lambdas, makers[way](loaded, settings.lambdas), strict=True
            )
        ]
        curves.append({"by": way, "points": points})
        timings[way] = round(time.process_time() - begun, 3)
    return {
        "version": VERSION,
        "prompts": len({*loaded.prompts.texts}),
        "responses": len(loaded.prompts),
        "seed": settings.seed,
        "curves": curves,
        "timings": timings,
    }


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Both policies and whoever judges, and the prompts."""

    context: StageContext
    start: Policy
    policy: Policy
    judges: Judges
    scorer: Any
    prompts: PromptBatch
    seed: int

    @classmethod
    def of(cls, context: StageContext, folders: Folders, settings: Realign) -> Loaded:
        # nothing trains any more: a network below adapters is in memory once
        networks = replace(context.networks(), share=True)
        cfg, device = context.cfg, device_of(context)
        start, policy = (
            networks.policy(folder).eval().requires_grad_(False).to(device)  # type: ignore[arg-type]
            for folder in (folders.start, folders.policy)
        )
        scalars = frozen_scalars(networks, folders.reward_models)
        for model in scalars:
            model.to(device)
        count = settings.prompts or cfg.evaluation.prompts
        heldout = islice(cycle(context.fitted.prompts.heldout), count)
        rows = [prompt for prompt in heldout for _ in range(settings.samples)]
        return cls(
            context=context,
            start=start,
            policy=policy,
            judges=judges_of(context, scalars, at_once(cfg.reward_model)),
            scorer=build(cfg.scorer),
            prompts=collate_prompts(context.rendering, rows, context.fitted.limit).to(device),
            seed=settings.seed,
        )

    def draws(self) -> torch.Generator:
        device = self.prompts.tokens.device
        return generator(self.seed, "realign", "responses", device=device)

    @property
    def drawn_at_once(self) -> AtOnce:
        """Rows that are drawn together where nothing limits them: two models' caches, of as many as
        the run draws."""
        cfg = self.context.cfg
        limits = AtOnce(
            rows=cfg.generation.micro_batch_size, tokens=cfg.generation.micro_batch_tokens
        )
        largest = max(cfg.ppo.rollout_size, cfg.evaluation.prompts)
        return limits if limits.limits else AtOnce(rows=2 * largest)

    def reader(self, model: Policy) -> PolicyReader:
        ppo = self.context.cfg.ppo
        return PolicyReader(
            model=model,
            temperature=self.context.sampling.temperature,
            at_once=AtOnce(rows=ppo.micro_batch_size, tokens=ppo.micro_batch_tokens),
        )

    def point(self, weight: float, rollout: Rollout, view: TokenView) -> Point:
        """What the responses at one lambda came to."""
        responses, score = judged(self.scorer, self.judges.read(rollout))
        sources: dict[str, Tensor] = {
            "log-probabilities of the policy": view.logp,
            "log-probabilities of the SFT policy": view.ref_logp,
            **judge_sources(responses.scores),
            "score of the scorer": score,
        }
        require_finite(sources, rollout.mask, responses.prompts, f"realign at lambda {weight:g}")
        metrics, _ = evaluate(responses, view, score, samples=0)
        numbers = {name.removeprefix("eval/"): value for name, value in metrics.items()}
        return {"lambda": weight} | {
            name: value
            for name, value in numbers.items()
            if name in NATS or not name.startswith(("kl/", "policy/"))
        }


def by_decoding(loaded: Loaded, weights: Sequence[float]) -> Iterator[tuple[Rollout, TokenView]]:
    """All lambdas together: ref^(1 - lambda) pi^lambda, token by token (DeRa, arXiv 2402.02992)."""
    context = loaded.context
    check_engine(context, loaded.policy)
    engine = MixtureEngine(
        loaded.policy,
        context.stops,
        context.rendering.pad_id,
        context.tokenizer,
        loaded.drawn_at_once,
        reference=loaded.start,
    )
    yield from engine.at_each(loaded.prompts, weights, context.sampling, loaded.draws())


def by_weights(loaded: Loaded, weights: Sequence[float]) -> Iterator[tuple[Rollout, TokenView]]:
    """One lambda after another: (1 - lambda) SFT + lambda policy, one model's responses (LITI in
    WARP, arXiv 2406.16768), read by it and by the SFT policy."""
    context = loaded.context
    line = Interpolated.of(loaded.start, loaded.policy)
    reference, engine = loaded.reader(loaded.start), ENGINES[context.cfg.generation.engine]
    for weight in weights:
        model = line.at(weight)
        own = (context.rendering.pad_id, context.tokenizer, loaded.drawn_at_once)
        drawn = engine(model, context.stops, *own)
        rollout = drawn.respond(loaded.prompts, context.sampling, loaded.draws())
        yield rollout, loaded.reader(model).view(reference, rollout)


def check_engine(context: StageContext, policy: Policy) -> None:
    """Mixtures are drawn by the loop of `generation.engine=torch`.

    Raises:
        ModelError: the policy is drawn by another, and that one draws it otherwise.
    """
    cfg = context.cfg
    if cfg.generation.engine != "torch":
        own = cfg.generation.model_copy(update={"engine": "torch"})
        asked = cfg.model_copy(update={"generation": own})
        replace(context, cfg=asked, probed=[]).engine(policy)


def device_of(context: StageContext) -> str:
    """The run's, where this machine has it."""
    return context.device if torch.cuda.is_available() else "cpu"
