"""A module that trains a policy, and the evaluation that all of these share: the same held-out
prompts and random numbers for every algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch

from rlhf.functional.kl import sequence_nats
from rlhf.kl.penalty import KLPenalty
from rlhf.metrics import MOVING_KL
from rlhf.models.policy import PolicyReader
from rlhf.models.sharding.cut import kept_together
from rlhf.modules.base import Metrics, StageModule
from rlhf.modules.parts import OnlineParts, OnlineSettings
from rlhf.modules.precision.masters import to_bfloat16
from rlhf.randomness import generator
from rlhf.ranks.rows import by_rows, gathered, own
from rlhf.rollout.counts import NONFINITE
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.evaluate import by_prompt, evaluate, kl_metrics
from rlhf.rollout.finite import FiniteResponses
from rlhf.rollout.score import judged
from rlhf.types import PromptBatch, Rollout


class PolicyModule(StageModule):
    """`policy` responds to prompts and is evaluated against the policy that the run started from.

    `measures`: functions of callbacks; their metrics join those of every evaluation.
    """

    stage = "ppo"
    kl: KLPenalty  # its coefficient is the beta of every algorithm

    def __init__(self, parts: OnlineParts, settings: OnlineSettings) -> None:
        super().__init__(
            iterations=settings.iterations,
            lr_schedule=settings.lr_schedule,
            lr_warmup=settings.lr_warmup,
        )
        self.parts, self.policy, self.settings = parts, parts.policy, settings
        self.measures: list[Callable[[], Metrics]] = []
        self.finite = FiniteResponses(action=settings.on_nonfinite, at_most=settings.max_nonfinite)

    def models(self) -> Iterator[torch.nn.Module]:
        yield from self.children()
        yield from self.frozen()

    def frozen(self) -> Iterator[torch.nn.Module]:
        """Those that nothing trains, some of them perhaps twice."""
        parts = self.parts
        yield from (parts.reference.model, parts.start.model, *parts.judges.reward_models)

    def on_fit_start(self) -> None:
        for model in self.models():
            model.eval().to(self.device)  # dropout off, in rollouts and in updates
        if self.masters is not None:
            if self.parts.reference is not self.parts.start:
                self.masters.hold(self.parts.reference.model)  # it moves by small steps too
            for model in self.frozen():
                to_bfloat16(model)

    @property
    def reader(self) -> PolicyReader:
        """The policy of the moment, read at the sampling temperature."""
        return PolicyReader(
            model=self.policy,
            temperature=self.settings.sampling.temperature,
            at_once=self.settings.at_once,
        )

    def random(
        self, purpose: str, iteration: int, device: torch.device | str | None = None
    ) -> torch.Generator:
        """Random numbers for one purpose in one iteration, whatever was drawn before."""
        where = (self.stage, purpose, iteration, 0)  # the same numbers on every rank
        return generator(self.settings.seed, *where, device=device or self.device)

    def respond(
        self, prompts: PromptBatch, purpose: str, iteration: int, sampling: Sampling | None = None
    ) -> Rollout:
        """The responses to this rank's share of the prompts, which are drawn as if to all."""
        count = len(prompts)
        rows = (self.ranks.own(count),) if self.ranks.size > 1 else ()
        with kept_together(self.policy):
            return self.parts.engine.respond(
                own(self.ranks, prompts, count).to(self.device),
                sampling or self.settings.sampling,
                self.random(purpose, iteration),
                *rows,
            )

    def by_rows(self, read: Callable[[Rollout], torch.Tensor], rollout: Rollout) -> torch.Tensor:
        """What `read` gives of a rollout that every rank has whole: each reads its share."""
        return by_rows(self.ranks, read, rollout, len(rollout.tokens))

    def precision(self) -> AbstractContextManager[None]:
        """Rollouts are read in the precision of the updates, which Lightning applies to
        `training_step` alone."""
        return (
            self.trainer.precision_plugin.forward_context()
            if self._trainer is not None
            else nullcontext()
        )

    def collect(self) -> Iterator[Any]:
        """The micro-batches of the next iteration."""
        raise NotImplementedError

    def drawing(self) -> AbstractContextManager[None]:
        """Around drawing and reading a training rollout: here `policy` is the one that draws."""
        return nullcontext()

    def evaluates_at(self, iteration: int) -> bool:
        every = self.settings.evaluation.every
        return iteration % every == 0 or iteration == self.iterations

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """The policy of now on the fixed held-out prompts, with the same random numbers each
        time. The KL is to the policy that the run started from."""
        parts, heldout = self.parts, self.parts.prompts.heldout
        with self.precision():
            rollout = self.respond(heldout, "evaluation", 0)
            view = self.reader.view(parts.start, rollout)
            read, score = judged(parts.scorer, parts.judges.read(rollout))
            rollout, view, score, scores = gathered(self.ranks, [rollout, view, score, read.scores])
            read = replace(read, rollout=rollout, scores=scores)
            responses, view, score = self.finite.of_evaluation(read, view, score, self.where())
            samples = self.settings.evaluation.samples
            metrics, self.samples = evaluate(responses, view, score, samples=samples)
            self.by_prompt = [by_prompt(responses, view)]
            metrics[f"eval/{NONFINITE}"] = len(rollout.tokens) - len(score)
            rollout = responses.rollout
            if parts.reference is not parts.start:
                log_ratio = view.logp - self.by_rows(parts.reference.logp, rollout)
                distance = sequence_nats(log_ratio, rollout.mask)[0]
                metrics[f"eval/{MOVING_KL}"] = float(distance)
            plain = self.settings.sampling.plain()
            if self.settings.sampling != plain:
                # the KL of the policy itself, where other settings draw the responses
                rollout = self.respond(heldout, "plain-evaluation", 0, plain)
                policy, start = (replace(r, temperature=1.0) for r in (self.reader, parts.start))
                rollout, view = gathered(self.ranks, [rollout, policy.view(start, rollout)])
                metrics |= kl_metrics(rollout, view, prefix="eval/kl/plain")
        for measure in self.measures:
            metrics |= measure()
        return metrics
