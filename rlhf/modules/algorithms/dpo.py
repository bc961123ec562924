"""Direct preference optimisation (arXiv 2305.18290) and its relatives: the policy learns from
preference pairs, whose labels stand in for a reward model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rlhf.at_once import micro_batches
from rlhf.data.loaders import draw_prompts
from rlhf.functional.losses import PreferenceLoss, preference_loss
from rlhf.functional.pooling import Mean
from rlhf.functional.vocabulary import read
from rlhf.kl.penalty import KLPenalty
from rlhf.models.packing.packs import in_packs
from rlhf.models.packing.read import logits_at, spread
from rlhf.models.policy import PolicyReader
from rlhf.modules.base import Metrics, with_initial_lr
from rlhf.modules.parts import OnlineParts, OnlineSettings
from rlhf.modules.policy import PolicyModule
from rlhf.ranks.rows import gathered
from rlhf.types import PairBatch

LEARNED = ("loss", "accuracy", "margin")


class DPOModule(PolicyModule):
    """An iteration learns from `pairs_each` pairs (ppo.rollout_size): of permutations of all pairs
    the next ones, in ppo.inner_epochs passes of minibatches.

    The implied reward of a response is beta (log pi - log ref), beta = kl.coef. The reference is
    the policy that the run began with, and reads every pair once. A response counts whole: the sum
    over its tokens, its stop token among them.
    """

    needs_values = False
    learns_from = ("preferences",)

    def __init__(
        self,
        *,
        parts: OnlineParts,
        kl: KLPenalty,
        settings: OnlineSettings,
        loss: PreferenceLoss,
        label_smoothing: float,
        **unread: Any,
    ) -> None:
        """`unread`: advantage and trust region, of other algorithms.

        Raises:
            ValueError: there are no pairs, or kl.coef is 0.
        """
        super().__init__(parts, settings)
        if parts.pairs is None or not parts.pairs.train:
            raise ValueError("algorithm=dpo learns from preference pairs: there are none")
        if not kl.coef > 0:
            raise ValueError("algorithm=dpo needs kl.coef above 0")
        self.kl, self.kind, self.smoothing = kl, loss, label_smoothing
        self.pairs = parts.pairs
        # of every pair, once they were read: not in the checkpoint, as they come out the same
        self.ref_logp: Tensor | None = None  # [N, 2], to train on
        self.heldout_ref_logp: Tensor | None = None  # [M, 2]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return with_initial_lr(self.parts.make_optimizer(self.policy, None))

    # --- what is learned

    def losses(self, batch: PairBatch, logp: Tensor) -> tuple[Tensor, Tensor]:
        """Of each pair the loss and the margin of its implied rewards, [B], by log-probabilities
        [B, 2] of its answers."""
        assert batch.ref_logp is not None
        chosen, rejected = (logp - batch.ref_logp).unbind(dim=1)
        gap, beta = chosen - rejected, float(self.kl.coef)
        return preference_loss(gap, beta, self.kind, self.smoothing), beta * gap.detach()

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        with self.forward_pass():
            losses, margins = self.losses(batch, answer_logp(self.reader, batch))
        loss, count, of_step = losses.mean(), batch.counted, batch.step_count or batch.counted
        self.log_step(
            loss=Mean.over(loss, count),
            accuracy=Mean.over(right(margins).mean(), count),
            margin=Mean.over(margins.mean(), count),
        )
        # its part in the mean over the pairs of its whole step
        return loss * (count / of_step) * batch.splits * self.ranks.size

    # --- the pairs of an iteration

    def collect(self) -> Iterator[PairBatch]:
        """This rank's micro-batches of one iteration."""
        if self.ref_logp is None:
            self.ref_logp = self.read_all(self.parts.start, self.pairs.train)
        steps, ranks = self.steps(), self.ranks
        tokens = [[self.pairs.tokens(self.pairs.train[i]) for i in places] for places in steps]
        pieces = micro_batches(tokens, self.settings.at_once, ranks.size)
        splits = len(pieces[0]) // ranks.size
        self.accumulate(splits)
        for places, groups in zip(steps, pieces, strict=True):
            for group in groups[ranks.rank :: ranks.size]:
                # a rank without a pair of its own takes part in the forward pass all the same
                own = [places[i] for i in group] or places[:1]
                yield replace(
                    self.pairs.collate([self.pairs.train[i] for i in own]),
                    ref_logp=self.ref_logp[own],
                    step_count=len(places),
                    splits=splits,
                    counts=bool(group),
                )

    def steps(self) -> list[list[int]]:
        """The places of the pairs of each optimizer step of this iteration."""
        settings, iteration = self.settings, self.iteration + 1
        drawn = draw_prompts(
            *(range(len(self.pairs.train)), settings.rollout_size, settings.seed, iteration),
            purpose="pairs",
        )
        orders = [
            torch.randperm(
                len(drawn), generator=self.random(f"minibatches-{epoch}", iteration, device="cpu")
            )
            for epoch in range(settings.inner_epochs)
        ]
        parts = [part for order in orders for part in order.split(settings.minibatch_size)]
        return [[drawn[i] for i in part.tolist()] for part in parts]

    @torch.no_grad()
    def read_all(self, reader: PolicyReader, rows: Sequence[Any]) -> Tensor:
        """[N, 2] log-probabilities of the answers of all pairs, each read by one of the ranks."""
        mine = self.ranks.own(len(rows)).tolist() if self.ranks.size > 1 else [*range(len(rows))]
        own = [rows[i] for i in mine] or [rows[0]]  # every rank reads
        lengths = torch.tensor([[self.pairs.tokens(row)] for row in own])

        def part(index: Tensor) -> tuple[Tensor]:
            batch = self.pairs.collate([own[i] for i in index.tolist()]).to(self.device)
            return (answer_logp(reader, batch).cpu(),)

        with self.precision():
            limits = self.settings.at_once.reading(self.device.type)
            (logp,) = in_packs(part, lengths, limits, reader.model)
        whole: Tensor = gathered(self.ranks, logp[: len(mine)])
        return whole

    def steps_an_iteration(self) -> int:
        settings = self.settings
        return settings.inner_epochs * -(-settings.rollout_size // settings.minibatch_size)

    # --- numbers

    def evaluate(self) -> Metrics:
        """That of every policy; beside it loss, accuracy and implied margin on held-out pairs, at
        most evaluation.prompts of them."""
        return super().evaluate() | self.heldout_pairs()

    @torch.no_grad()
    def heldout_pairs(self) -> Metrics:
        rows = self.pairs.heldout[: self.settings.evaluation.prompts]
        if not rows:
            return {}
        if self.heldout_ref_logp is None:
            self.heldout_ref_logp = self.read_all(self.parts.start, rows)
        batch = replace(self.pairs.collate(rows[:1]), ref_logp=self.heldout_ref_logp)
        losses, margins = self.losses(batch, self.read_all(self.reader, rows))
        means = (losses.mean(), right(margins).mean(), margins.mean())
        return {
            f"eval/preference/{name}": float(mean)
            for name, mean in zip(LEARNED, means, strict=True)
        }

    def finish_iteration(self) -> Metrics:
        record: Metrics = {
            f"{'preference' if name in LEARNED else 'ppo'}/{name}": value
            for name, value in self.step_means().items()
        }
        record |= {
            "kl/coef": float(self.kl.coef),
            "episodes": 0,  # none is drawn in training
            "preference/pairs": self.iteration * self.settings.rollout_size,
        }
        if self.evaluates_at(self.iteration):
            record |= self.evaluate()
        return record


def answer_logp(reader: PolicyReader, batch: PairBatch) -> Tensor:
    """[B, 2] log-probabilities of the whole answers, both texts of all pairs in one forward pass,
    with their gradient."""
    tokens, attention, answers = (
        x.flatten(0, 1) for x in (batch.tokens, batch.attention, batch.answers)
    )
    mask = answers[:, 1:]
    keep = F.pad(mask, (0, 1), value=False)  # the positions before them
    logits = logits_at(reader.model, tokens, attention, keep)
    counted = read(logits, tokens[:, 1:][mask], temperature=reader.temperature, used_up=True).logp
    return spread(counted, mask).sum(dim=1).view(-1, 2)


def right(margins: Tensor) -> Tensor:
    """1 where the chosen answer has the larger implied reward, 1/2 where both are the same."""
    return (margins > 0).double() + 0.5 * (margins == 0).double()
