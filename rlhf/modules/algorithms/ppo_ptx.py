"""PPO that goes on learning demonstrations: PPO-ptx (InstructGPT, arXiv 2203.02155, Eq. 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from rlhf.data.loaders import draw_prompts
from rlhf.functional.masking import Reduce
from rlhf.modules.algorithms.ppo import PPOModule
from rlhf.modules.parts import Losses
from rlhf.modules.supervised.sft import token_losses
from rlhf.types import DemonstrationBatch, Experience, Minibatch


class PPOPtx(PPOModule):
    """PPO's loss and `ptx_coef` times -log pi of demonstrations, the mean over the tokens that SFT
    learns: the objective is E[r] - beta KL + gamma E[log pi(demonstration)], gamma in units of
    reward per nat of a token.

    A step on m responses learns m demonstrations: of permutations of all the next ones, which
    follow from seed and iteration alone.
    """

    learns_from = ("demonstrations",)

    def __init__(self, *, ptx_coef: float, **live: Any) -> None:
        """Raises ValueError where there are no demonstrations."""
        super().__init__(**live)
        if self.parts.demonstrations is None or not self.parts.demonstrations.train:
            raise ValueError("algorithm=ppo_ptx learns from demonstrations: there are none")
        self.demonstrations, self.ptx_coef = self.parts.demonstrations, ptx_coef

    def minibatches(self, experience: Experience) -> Iterator[Minibatch]:
        settings, train = self.settings, self.demonstrations.train
        drawn = draw_prompts(
            *(train, settings.inner_epochs * settings.rollout_size, settings.seed),
            self.iteration + 1,
            purpose="demonstrations",
        )
        size, ranks = settings.minibatch_size, self.ranks
        for count, batch in enumerate(super().minibatches(experience)):
            step, piece = divmod(count, batch.splits)
            of_step = drawn[step * size : (step + 1) * size]
            own = of_step[piece * ranks.size + ranks.rank :: batch.splits * ranks.size]
            rows = self.demonstrations.collate(own or of_step[:1])  # a forward pass needs a row
            tokens = self.demonstrations.collate(of_step).counted
            rows = replace(rows, step_count=tokens, counts=bool(own))
            yield replace(batch, demonstrations=rows.to(self.device))

    def loss(self, batch: Minibatch, reduce: Reduce) -> Losses:
        """PPO's, and ptx_coef * -log pi of the demonstrations."""
        losses, nll = super().loss(batch, reduce), self.ptx_loss(batch.demonstrations)
        if self.iteration < self.settings.critic_warmup:
            nll = nll.detach()
        # in the unit of the advantages, as the KL is (docs/decisions/0003)
        weight = self.ptx_coef * batch.experience.reward_unit
        return replace(
            losses, total=losses.total + weight * nll, terms={"ptx_loss": nll} | losses.terms
        )

    def ptx_loss(self, batch: DemonstrationBatch | None) -> Tensor:
        """This micro-batch's part of the mean of -log pi over the tokens of its step's
        demonstrations. None: of all that there are (`rlhf.modules.exact` has no steps)."""
        if batch is None:
            rows: DemonstrationBatch = self.demonstrations.collate(self.demonstrations.train)
            batch = rows.to(self.device)
        tokens = batch.step_count or batch.counted
        summed = token_losses(self.policy, batch).sum() * float(batch.counts)
        return summed / max(tokens, 1)
