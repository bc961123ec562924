"""The base of the online algorithms: it draws responses, has them scored, keeps to the reference by
a KL penalty, and limits its updates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rlhf.functional.masking import Reduce, aggregate
from rlhf.functional.pooling import Mean
from rlhf.functional.vocabulary import Read
from rlhf.kl.penalty import KLPenalty, SteeringKL
from rlhf.models.sharding.whole import load_weights, weights_of
from rlhf.modules.advantage import Advantage, to_experience, value_metrics
from rlhf.modules.base import Metrics, with_initial_lr
from rlhf.modules.minibatches import steps_of
from rlhf.modules.old_policy import Drift, is_recomputed, old_view
from rlhf.modules.parts import Losses, OnlineParts, OnlineSettings, entropy_bonus
from rlhf.modules.trust_region import TrustRegion, follows_kl, local_kl
from rlhf.modules.walk.module import WalkingModule
from rlhf.ranks.rows import gathered
from rlhf.rollout.counts import FirstWarning, rollout_counts
from rlhf.rollout.evaluate import rollout_metrics, steering_of
from rlhf.rollout.finite import check_coefficient, check_experience
from rlhf.rollout.probe import computed_in, logp_gap
from rlhf.rollout.score import judged
from rlhf.types import Experience, Minibatch, Rollout, ScoredRollout


class OnlineModule(WalkingModule):
    """An online algorithm: an advantage piece (`advantage`) and a loss (`loss`), on top of this.

    An iteration collects prompts -> responses -> scores -> KL -> advantages, descends the loss over
    minibatches, and then moves the KL's controller, the trust region and the reference.

    Raises:
        ValueError: the advantage needs a value model and there is none.
    """

    needs_values = False  # True: it trains a value model, where the advantage needs one

    def __init__(
        self,
        *,
        parts: OnlineParts,
        kl: KLPenalty,
        trust_region: TrustRegion,
        advantage: Advantage,
        settings: OnlineSettings,
    ) -> None:
        super().__init__(parts, settings, kl.path)
        if parts.value_model is None and (advantage.needs_values or settings.critic_warmup):
            raise ValueError("advantage or ppo.critic_warmup needs a value model: there is none")
        self.kl, self.trust_region = kl, trust_region
        # the loss descends the exact KL, for which it needs the reference's logits
        self.reads_reference = kl.needs_exact_in_loss
        self.advantage, self.leaves_some_untrained = advantage, settings.critic_warmup > 0
        self.collected: Metrics = {}
        self.steering = SteeringKL(sequence_nats=0.0, token_nats=0.0, episodes=0)
        self.warn = FirstWarning()  # of what a rollout's counts show
        self.drawn = 0  # responses of the rollout, those that were left out among them
        self.experience: Experience | None = None  # of the iteration under way
        self.stop_inner = False
        self.drift = Drift(self.ranks, sampled=False)  # of the iteration under way

    def loss(self, batch: Minibatch, reduce: Reduce) -> Losses:
        """The whole loss of a minibatch, its token losses summed up by `reduce`. Pure."""
        raise NotImplementedError

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return with_initial_lr(self.parts.make_optimizer(self.policy, self.value_model))

    # --- collect

    def score(self, rollout: Rollout) -> ScoredRollout:
        """The rollout read by policy, reference and value model, and scored by the judges. The KL
        is estimated here and not yet in the score."""
        again = is_recomputed(rollout, self.settings, self.kl, computed_in(self.policy))
        view = old_view(rollout, self.reader, self.parts.reference, again=again)
        responses, raw_score = judged(self.parts.scorer, self.parts.judges.read(rollout))
        values = None
        if self.value_model is not None:
            values = self.value_model.predict(rollout, self.settings.at_once)
        return ScoredRollout(
            **vars(view),
            rollout=rollout,
            kl=self.kl.token_kl(view.logp, view.ref_logp, rollout.mask, view.exact_kl),
            values=values,
            judge_scores=responses.scores,
            raw_score=raw_score,
            score=self.parts.scorer.clip(raw_score),
        )

    def collect(self) -> Iterator[Minibatch]:
        """One iteration's experience, then its minibatches."""
        iteration = self.iteration + 1
        self.begin_rollout()
        with self.drawing(), self.precision():
            prompts = self.parts.prompts.draw(iteration)
            drawn = gathered(self.ranks, self.score(self.respond(prompts, "rollout", iteration)))
            kind = computed_in(self.policy)
        where, self.drawn = self.where(1), len(drawn.score)
        scored = self.finite.of_training(drawn, self.kl, where)
        self.experience, rewards = to_experience(scored, self.kl, self.advantage)
        check_experience(self.experience, where)
        self.steering = steering_of(scored, self.kl)
        self.collected = rollout_metrics(scored, rewards, self.kl, self.steering)
        self.collected |= value_metrics(self.experience)
        self.collected |= rollout_counts(scored, self.kl.coef, drawn=self.drawn)
        if scored.recomputed:
            sampling = self.settings.sampling
            self.collected |= logp_gap(scored.rollout, scored.logp, sampling, kind)
        self.warn(self.collected, where)
        self.stop_inner, self.drift = False, Drift(self.ranks, sampled=not scored.recomputed)
        yield from self.minibatches(self.experience)

    def minibatches(self, experience: Experience) -> Iterator[Minibatch]:
        """This rank's micro-batches of all inner epochs, until the trust region stops them."""
        settings, iteration = self.settings, self.iteration + 1
        draws = [
            self.random(f"minibatches-{epoch}", iteration, device="cpu")
            for epoch in range(settings.inner_epochs)
        ]
        size, ranks, limits = settings.minibatch_size, self.ranks.size, settings.at_once
        if self.reads_reference:  # its logits stay beside the policy's
            limits = limits.shared_by(2, rows=-(-size // ranks))
        steps = steps_of(experience, draws, size, limits, ranks)
        self.accumulate(steps[0].splits)
        for step in steps:
            if self.stop_inner:
                return
            yield from step.minibatches(experience, self.ranks.rank)

    # --- update

    def training_step(self, batch: Minibatch, batch_idx: int) -> Tensor:
        reduce = partial(
            aggregate,
            mode=self.settings.aggregation,
            tokens=batch.step_tokens,
            sequences=batch.step_sequences,
            length=self.settings.sampling.max_new_tokens,
        )
        with self.forward_pass():
            losses = self.loss(batch, reduce)
        nats = self.drift.add(batch, losses.logp)
        if nats is not None:  # of a whole step, whatever its split
            self.stop_inner = self.stop_inner or self.trust_region.should_stop(nats)
        # a part of a step: over the iteration the mean over its steps of what each descended
        terms = {
            name: Mean(term.detach().double(), 1 / (batch.splits * self.ranks.size))
            for name, term in losses.terms.items()
        }
        self.log_step(losses.largest, **terms, **losses.means)
        return losses.total * batch.splits * self.ranks.size  # of which gradients are the mean

    def read(self, rollout: Rollout) -> Read:
        """What a loss reads of the policy, with its gradient: log-probabilities, and entropy and
        exact KL to the reference where the loss descends them."""
        ref_logits = None
        if self.reads_reference:
            with torch.no_grad():
                ref_logits = self.parts.reference.predictions(rollout)
        return self.reader.read(rollout, ref_logits, entropy=self.settings.entropy_coef > 0)

    def with_limits(
        self, policy_loss: Tensor, read: Read, batch: Minibatch, reduce: Reduce
    ) -> Losses:
        """The policy's whole loss: the algorithm's own, the KL's term (0 where the placement is the
        reward) and the trust region's, less the entropy bonus."""
        old, mask, logp = batch.experience, batch.experience.mask, read.logp
        # whitened advantages have a unit of their own: brought to it, a coefficient means the same
        # in the loss as in the reward (docs/decisions/0003)
        kl_loss = old.reward_unit * self.kl.loss(
            logp, old.ref_logp, old.logp, read.exact_kl, mask, reduce=reduce
        )
        region_loss = self.trust_region.loss(logp, old.logp, mask, reduce=reduce)
        bonus, means = entropy_bonus(self.settings.entropy_coef, read, mask, reduce)
        ratio = (logp.detach() - old.logp).masked_fill(~mask, 0.0)
        return Losses(
            total=policy_loss + kl_loss + region_loss - bonus,
            logp=logp.detach(),
            terms={"policy_loss": policy_loss, "kl_loss": kl_loss},
            means=means,
            largest={"log_ratio_max": ratio.abs().max()},
        )

    def steps_an_iteration(self) -> int:
        return self.settings.inner_epochs * -(-self.drawn // self.settings.minibatch_size)

    # --- the iteration's end

    def finish_iteration(self) -> Metrics:
        assert self.experience is not None
        old, self.experience = self.experience, None
        record = {
            **self.collected,
            **self.drift.metrics(),
            "episodes": self.iteration * self.drawn,
            "trust_region/coef": self.trust_region.coef,
            **{f"ppo/{name}": value for name, value in self.step_means().items()},
        }
        if follows_kl(self.trust_region):
            record["trust_region/kl_after"] = self.moved(old)
        self.warn(record, self.where())
        trained = self.iteration > self.settings.critic_warmup
        if trained or not self.kl.waits:  # a schedule does not
            self.kl.update(self.steering)
            check_coefficient(self.kl.coef, self.where())
        record |= self.after_update()
        if trained and follows_kl(self.trust_region):
            self.trust_region.update(record["trust_region/kl_after"])
        if self.evaluates_at(self.iteration):
            record |= self.evaluate()
        with self.in_float32(self.parts.reference.model, self.policy) as (reference, policy):
            self.kl.reference.after_iteration(reference, policy, self.iteration)
        return record

    def moved(self, old: Experience) -> float:
        """The local KL over a whole rollout, in nats per token (arXiv 1707.06347, Eq. 8): the
        policy's distance from the one that drew it."""
        with self.precision():
            logp = self.by_rows(self.reader.logp, old.rollout)
        return float(local_kl(logp, old.logp, old.mask))

    # --- state

    def extra_state(self) -> dict[str, Any]:
        with self.in_float32(self.parts.reference.model) as (model,):
            reference = weights_of(model) if self.kl.moves_reference else None
        return {
            "kl": self.kl.state_dict(),
            "trust_region": self.trust_region.state_dict(),
            "reference": reference,
            "nonfinite_in_a_row": self.finite.in_a_row,
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.kl.load_state_dict(state["kl"])
        self.after_update()
        self.trust_region.load_state_dict(state["trust_region"])
        self.finite.in_a_row = state["nonfinite_in_a_row"]
        if (weights := state["reference"]) is not None:
            load_weights(self.parts.reference.model, weights)
