"""PPO under a global KL penalty to a reference policy (InstructGPT, arXiv 2203.02155;
AlpacaFarm, arXiv 2305.14387)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf.functional.aggregation import aggregate
from rlhf.functional.kl import exact, sequence_nats
from rlhf.functional.logprobs import entropy, token_logp
from rlhf.functional.losses import (
    clip_fraction,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
)
from rlhf.functional.masking import Reduce, masked_mean, masked_sum
from rlhf.kl.penalty import KLPenalty
from rlhf.models.policy import response_logits
from rlhf.models.scalar import ScalarModel
from rlhf.modules.base import Metrics, StageModule, with_initial_lr
from rlhf.modules.parts import Frozen, PPOSettings, PromptSource
from rlhf.modules.trust_region import TrustRegion, local_kl
from rlhf.randomness import generator
from rlhf.rollout.engines.torch import Sampling, generate
from rlhf.rollout.evaluate import evaluate, kl_metrics, rollout_metrics
from rlhf.rollout.minibatch import minibatches
from rlhf.rollout.score import clip_score, whole_score
from rlhf.rollout.view import (
    AdvantageSettings,
    TokenView,
    predict_values,
    response_logp,
    to_experience,
    view_tokens,
)
from rlhf.types import Experience, Minibatch, PromptBatch, Rollout, ScoredRollout


class PPOModule(StageModule):
    """collect: prompts -> responses -> scores -> KL -> advantages; training_step: the clipped
    losses; finish: controllers move."""

    stage = "ppo"

    def __init__(
        self,
        policy: PreTrainedModel,
        value_model: ScalarModel,
        *,
        frozen: Frozen,
        prompts: PromptSource,
        kl: KLPenalty,
        trust_region: TrustRegion,
        make_optimizer: Callable[[PreTrainedModel, ScalarModel], torch.optim.Optimizer],
        settings: PPOSettings,
        advantage: AdvantageSettings,
        sampling: Sampling,
        eos: int,
        pad: int,
        seed: int,
    ) -> None:
        super().__init__(
            iterations=settings.iterations,
            lr_schedule=settings.lr_schedule,
            lr_warmup=settings.lr_warmup,
        )
        self.policy, self.value_model = policy, value_model
        self._frozen = (frozen,)  # in a tuple: nn.Module would register the models
        self.prompts, self.kl, self.trust_region, self.make_optimizer = (
            prompts,
            kl,
            trust_region,
            make_optimizer,
        )
        self.settings, self.advantage, self.sampling = settings, advantage, sampling
        self.eos, self.pad, self.seed = eos, pad, seed
        self.collected: Metrics = {}
        self.collected_kl = (math.nan, math.nan, 0)  # sequence nats, token nats, episodes
        self.experience: Experience | None = None  # of the iteration under way
        self.stop_inner = False
        # local KL summed over the step's tokens so far, and its micro-batches so far
        self._step_kl = (0.0, 0)
        self.measures: list[Callable[[], Metrics]] = []  # what callbacks add to every evaluation

    @property
    def frozen(self) -> Frozen:
        return self._frozen[0]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return with_initial_lr(self.make_optimizer(self.policy, self.value_model))

    def on_fit_start(self) -> None:
        self.frozen.to(self.device)
        for model in (self.policy, self.value_model, self.frozen.reference, self.frozen.start):
            model.eval()  # dropout off, in rollouts and in updates

    # --- collect

    def random(
        self, purpose: str, iteration: int, device: torch.device | str | None = None
    ) -> torch.Generator:
        return generator(
            self.seed, "ppo", purpose, iteration, self.global_rank, device=device or self.device
        )

    def respond(
        self, prompts: PromptBatch, purpose: str, iteration: int, sampling: Sampling | None = None
    ) -> Rollout:
        draws = self.random(purpose, iteration)
        return generate(
            self.policy,
            prompts.to(self.device),
            sampling or self.sampling,
            eos=self.eos,
            pad=self.pad,
            generator=draws,
        )

    def score(self, rollout: Rollout) -> ScoredRollout:
        view = self.view(rollout, self.frozen.reference)
        judged = self.frozen.judges.scores(rollout)
        raw = self.whole_score(rollout, judged)
        return ScoredRollout(
            rollout=rollout,
            logp=view.logp,
            ref_logp=view.ref_logp,
            exact_kl=view.exact_kl,
            entropy=view.entropy,
            kl=self.kl.token_kl(view.logp, view.ref_logp, rollout.mask, view.exact_kl),
            values=predict_values(self.value_model, rollout, rows=self.settings.forward_rows),
            judged=judged,
            raw_score=raw,
            score=clip_score(raw, self.settings.reward_clip),
        )

    def whole_score(self, rollout: Rollout, judged: Mapping[str, Tensor]) -> Tensor:
        return whole_score(
            self.frozen.scorer,
            rollout,
            judged,
            self.settings.missing_eos,
            self.settings.missing_eos_value,
        )

    def view(self, rollout: Rollout, other: PreTrainedModel) -> TokenView:
        return view_tokens(
            self.policy,
            other,
            rollout,
            temperature=self.sampling.temperature,
            rows=self.settings.forward_rows,
        )

    def precision(self) -> AbstractContextManager[None]:
        """Rollouts are read in the precision of the updates, which Lightning applies to
        `training_step` alone."""
        return (
            self.trainer.precision_plugin.forward_context()
            if self._trainer is not None
            else nullcontext()
        )

    def collect(self) -> Iterator[Minibatch]:
        """One iteration's experience, then its minibatches over all inner epochs, until the
        trust region stops them."""
        iteration = self.iteration + 1
        with self.precision():
            scored = self.score(self.respond(self.prompts.draw(iteration), "rollout", iteration))
        experience, rewards = to_experience(scored, self.kl, self.advantage)
        self.experience = experience
        self.collected, self.collected_kl = rollout_metrics(scored, rewards, self.kl)
        self.stop_inner = False
        for epoch in range(self.settings.inner_epochs):
            order = self.random(f"minibatches-{epoch}", iteration, device="cpu")
            for step in minibatches(
                experience, self.settings.minibatch_size, self.settings.micro_batch_size, order
            ):
                if self.stop_inner:
                    return
                yield from step

    # --- update

    def training_step(self, batch: Minibatch, batch_idx: int) -> Tensor:
        reduce = partial(
            aggregate,
            mode=self.settings.aggregation,
            tokens=batch.step_tokens,
            sequences=batch.step_sequences,
            length=self.sampling.max_new_tokens,
        )
        return self.loss(batch, reduce) * batch.splits

    def loss(self, batch: Minibatch, reduce: Reduce) -> Tensor:
        """The whole loss of a minibatch, its token losses made one number by `reduce`."""
        old, mask, length = batch.experience, batch.experience.mask, batch.experience.mask.shape[1]
        sequence, attention = old.rollout.sequence, old.rollout.attention
        logits = (
            response_logits(self.policy, sequence, attention, length) / self.sampling.temperature
        )
        logp = token_logp(logits, old.rollout.tokens)
        values = self.value_model.values(sequence, attention, length)
        policy_loss = clipped_policy_loss(
            logp, old.logp, old.advantages, mask, self.settings.policy_clip, reduce=reduce
        )
        value_loss = clipped_value_loss(
            values, old.values, old.returns, mask, self.settings.value_clip, reduce=reduce
        )
        spread = entropy(logits)
        # whitened advantages have a unit of their own: brought to it, a coefficient means the same
        # in the loss as in the reward
        kl_loss = old.reward_unit * self.kl.loss(
            logp, old.ref_logp, old.logp, self._exact_in_loss(logits, batch), mask, reduce=reduce
        )
        region_loss = self.trust_region.loss(logp, old.logp, mask, reduce=reduce)
        actor = (
            policy_loss + kl_loss + region_loss - self.settings.entropy_coef * reduce(spread, mask)
        )
        if self.iteration < self.settings.critic_warmup:
            actor = actor.detach()
        self._watch_step(float(local_kl(logp.detach(), old.logp, mask, reduce=masked_sum)), batch)
        ratio = (logp.detach() - old.logp).masked_fill(~mask, 0.0)
        self.log_step(
            policy_loss=policy_loss * batch.splits,
            value_loss=value_loss * batch.splits,
            kl_loss=kl_loss * batch.splits,
            clip_fraction=clip_fraction(
                logp.detach(), old.logp, old.advantages, mask, self.settings.policy_clip
            ),
            explained_variance=explained_variance(old.values, old.returns, mask),
            log_ratio_max=ratio.abs().max(),
            entropy=masked_mean(spread.detach(), mask),
        )
        return actor + self.settings.value_coef * value_loss

    def _watch_step(self, summed: float, batch: Minibatch) -> None:
        """The local KL of a whole step, whatever its split, decides whether the inner epochs go
        on."""
        total, count = self._step_kl
        total, count = total + summed, count + 1
        if count == batch.splits:
            self.stop_inner = self.stop_inner or self.trust_region.should_stop(
                total / max(batch.step_tokens, 1)
            )
            total, count = 0.0, 0
        self._step_kl = (total, count)

    def batches_an_iteration(self) -> int:
        rows = self.settings.minibatch_size
        return (
            self.settings.inner_epochs
            * (self.collected_kl[2] // rows)
            * (rows // self.settings.forward_rows)
        )

    def _exact_in_loss(self, logits: Tensor, batch: Minibatch) -> Tensor | None:
        """KL(pi || ref) over the vocabulary at each prefix [B, T], with its gradient, where the
        penalty asks for it."""
        if not self.kl.needs_exact_in_loss:
            return None
        rollout = batch.experience.rollout
        with torch.no_grad():
            reference = response_logits(
                self.frozen.reference, rollout.sequence, rollout.attention, logits.shape[1]
            )
        return exact(logits, reference / self.sampling.temperature)

    # --- the iteration's end

    def finish_iteration(self) -> Metrics:
        means = self.step_means()
        record = dict(self.collected)
        record["episodes"] = self.iteration * self.collected_kl[2]
        record["trust_region/kl"] = self._moved()
        record["trust_region/coef"] = self.trust_region.coef
        record.update({f"ppo/{name}": value for name, value in means.items()})
        sequence_nats, token_nats, episodes = self.collected_kl
        # before that the policy stands still and no coefficient could have moved it
        if self.iteration > self.settings.critic_warmup:
            self.kl.update(sequence_nats, token_nats, episodes)
            self.trust_region.update(record["trust_region/kl"])
        if self.iteration % self.settings.eval_every == 0 or self.iteration == self.iterations:
            record.update(self.evaluate())
        self.kl.reference.after_iteration(self.frozen.reference, self.policy, self.iteration)
        return record

    @torch.no_grad()
    def _moved(self) -> float:
        """How far the iteration moved the policy: the local KL over its whole rollout, in nats
        per token (arXiv 1707.06347, Eq. 8)."""
        assert self.experience is not None
        old, self.experience = self.experience, None
        with self.precision():
            logp = self._logp(self.policy, old.rollout)
        return float(local_kl(logp, old.logp, old.mask))

    def _logp(self, model: PreTrainedModel, rollout: Rollout) -> Tensor:
        return response_logp(
            model, rollout, temperature=self.sampling.temperature, rows=self.settings.forward_rows
        )

    def initial_record(self) -> Metrics:
        return self.evaluate()

    def evaluate(self) -> Metrics:
        """The policy of now on the fixed held-out prompts, with the same random numbers each
        time. The KL is to the SFT policy."""
        with self.precision():
            rollout = self.respond(self.prompts.heldout, "evaluation", 0)
            view = self.view(rollout, self.frozen.start)
            metrics, self.samples = evaluate(
                rollout,
                view,
                self.frozen.judges,
                self.whole_score,
                samples=self.settings.eval_samples,
            )
            if self.frozen.sft is not None:
                distance = sequence_nats(
                    view.logp - self._logp(self.frozen.reference, rollout), rollout.mask
                )[0]
                metrics["eval/kl/moving_reference_nats"] = float(distance)
            if self.sampling != self.sampling.plain():
                metrics |= self._plain_kl()
        for measure in self.measures:
            metrics |= measure()
        return metrics

    def _plain_kl(self) -> Metrics:
        """The KL of the policy itself where other settings draw the responses: on its own, at
        temperature 1 without top-k and top-p."""
        rollout = self.respond(self.prompts.heldout, "plain-evaluation", 0, self.sampling.plain())
        view = view_tokens(
            self.policy,
            self.frozen.start,
            rollout,
            temperature=1.0,
            rows=self.settings.forward_rows,
        )
        return kl_metrics(rollout, view, prefix="eval/kl/plain")

    # --- state

    def extra_state(self) -> dict[str, Any]:
        reference = self.frozen.reference.state_dict() if self.kl.moves_reference else None
        return {
            "kl": self.kl.state_dict(),
            "trust_region": self.trust_region.state_dict(),
            "reference": reference,
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.kl.load_state_dict(state["kl"])
        self.trust_region.load_state_dict(state["trust_region"])
        if state["reference"] is not None:
            self.frozen.reference.load_state_dict(state["reference"])


class CollectedMinibatches:
    """The training loader: each pass collects one iteration. It has no length, since the trust
    region may end it early."""

    def __init__(self, module: PPOModule) -> None:
        self.module = module

    def __iter__(self) -> Iterator[Minibatch]:
        return self.module.collect()


def ppo_parameter_groups(
    policy: nn.Module, value_model: nn.Module, *, value_lr: float | None
) -> list[dict[str, Any]]:
    """Policy and value model; the value model's learning rate is its own where one is given."""
    own = {} if value_lr is None else {"lr": value_lr}
    return [
        {"params": list(policy.parameters())},
        {"params": list(value_model.parameters()), **own},
    ]
