"""Quark (arXiv 2205.13636; AlpacaFarm's `quark_trainer`): responses are sorted into quantiles of
their scores and learned beside a control token that says the quantile; the policy answers as the
best one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rlhf.data.collate import pad
from rlhf.data.conversations import Prompt
from rlhf.functional.masking import Reduce
from rlhf.functional.vocabulary import Read
from rlhf.models.checks import positions_of
from rlhf.models.control import first_id, mean_embedding, reading, unmarked, with_control
from rlhf.modules.base import Metrics, with_initial_lr
from rlhf.modules.old_policy import Drift
from rlhf.modules.online import OnlineModule
from rlhf.modules.parts import Losses, entropy_bonus
from rlhf.types import Experience, Minibatch, PromptBatch, Rollout


def quantiles(score: Tensor, count: int) -> Tensor:
    """[N] long: the quantile of each score, 0 the lowest, count - 1 the best.

        q(s) = floor(count * share of scores below s), and count - 1 of the largest score

    Without ties they are `count` parts of equal size, to one. Equal scores have one quantile.
    """
    levels = score.double().sort().values
    below = torch.searchsorted(levels, score.double())
    place = count * below // len(score)
    return torch.where(score.double() == levels[-1], count - 1, place)


@dataclass
class Pool:
    """The responses of the last `rounds` iterations (None: of all) with their scores, in main
    memory."""

    rounds: int | None = None
    prompts: list[Tensor] = field(default_factory=list)  # ids of each response's prompt
    responses: list[Tensor] = field(default_factory=list)  # ids of each response
    scores: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # responses of each iteration

    def __len__(self) -> int:
        return len(self.scores)

    def add(self, experience: Experience) -> None:
        """One iteration's responses. Those of too old an iteration are let go."""
        rollout = experience.rollout
        self.prompts += _ids(rollout.prompt.tokens, rollout.prompt.mask)
        self.responses += _ids(rollout.tokens, rollout.mask)
        self.scores += experience.score.tolist()
        self.sizes.append(len(experience))
        while self.rounds is not None and len(self.sizes) > self.rounds:
            old = self.sizes.pop(0)
            for rows in (self.prompts, self.responses, self.scores):
                del rows[:old]  # type: ignore[attr-defined]

    def state(self) -> dict[str, Tensor]:
        rows = [*self.prompts, *self.responses]
        return {
            "ids": torch.cat([torch.zeros(0, dtype=torch.int32), *rows]),
            "lengths": torch.tensor([len(row) for row in rows], dtype=torch.long),
            "scores": torch.tensor(self.scores),
            "sizes": torch.tensor(self.sizes, dtype=torch.long),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        rows = [*state["ids"].split(state["lengths"].tolist())]
        self.scores, self.sizes = state["scores"].tolist(), state["sizes"].tolist()
        self.prompts, self.responses = rows[: len(self)], rows[len(self) :]


def _ids(tokens: Tensor, mask: Tensor) -> list[Tensor]:
    counted = tokens[mask].to("cpu", torch.int32)
    return [row.clone() for row in counted.split(mask.sum(dim=1).tolist())]


class Quark(OnlineModule):
    """The loss is -log pi(y | quantile, x) and kl.coef times the exact KL of each token's
    distribution to the reference's, which sees no control token: by ppo.aggregation, in nats.

    An iteration adds its responses to the pool, sorts the whole pool anew into `count` quantiles,
    and learns as many of its responses as were drawn: of a permutation the first (again and again
    where there are fewer). The best quantile is the one without a token. So the policy draws, is
    evaluated and is saved as it answers for the best quantile, and what the first iteration draws
    is the SFT policy's. Rows for the tokens of the others stand beside the embedding
    (`rlhf.models.control`), in the checkpoint and in no saved policy.

    `learns=best`: of the best quantile alone (AlpacaFarm's `train_on_best_quantile`).
    """

    needs_values = False

    def __init__(
        self,
        *,
        quantiles: int,
        learns: Literal["all", "best"],
        pool_iterations: int | None,
        **live: Any,
    ) -> None:
        """Raises ValueError unless there are two quantiles or more, and an iteration of a pool."""
        if quantiles < 2:
            raise ValueError(f"quantiles must be at least 2, got {quantiles}")
        if pool_iterations is not None and pool_iterations < 1:
            raise ValueError(f"pool_iterations must be at least 1, got {pool_iterations}")
        super().__init__(**live)
        self.reads_reference = True
        self.count, self.pool = quantiles, Pool(rounds=pool_iterations)
        self.first = first_id(self.policy)  # the id of the worst quantile's token
        self.control: nn.Parameter | None = None  # [count - 1, hidden], worst first
        if learns == "all":
            row = mean_embedding(self.policy)
            self.control = nn.Parameter(row.repeat(quantiles - 1, 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.parts.make_optimizer(self.policy, None)
        if self.control is not None:
            optimizer.param_groups[0]["params"].append(self.control)
        return with_initial_lr(optimizer)

    # --- what is learned of the pool

    def minibatches(self, experience: Experience) -> Iterator[Minibatch]:
        self.pool.add(experience)
        score = torch.tensor(self.pool.scores)
        quantile = quantiles(score, self.count)
        best = quantile == self.count - 1
        self.collected |= {
            "ppo/pool": float(len(score)),
            "ppo/kept_score": float(score[best].mean()),
        }
        learned = torch.arange(len(score)) if self.control is not None else best.nonzero().flatten()
        rows = self.some_of(learned)
        # the pool is of many policies, none of which the trust region holds to
        self.drift = Drift(self.ranks, sampled=False)
        yield from super().minibatches(self.rows(rows, quantile[rows]).to(self.device))

    def some_of(self, rows: Tensor) -> Tensor:
        """As many rows as were drawn: those of a permutation, of another where that is too few."""
        generator = self.random("pool", self.iteration + 1, device="cpu")
        times = -(-self.drawn // len(rows))
        orders = [torch.randperm(len(rows), generator=generator) for _ in range(times)]
        return rows[torch.cat(orders)[: self.drawn]]

    def rows(self, rows: Tensor, quantile: Tensor) -> Experience:
        """Responses of the pool, each prompt with the control token of its quantile."""
        judges, model = self.parts.judges, self.policy
        bos, limit = judges.tokenizer.bos_token_id, positions_of(model.config)
        prompts, responses = [], []
        for row, place in zip(rows.tolist(), quantile.tolist(), strict=True):
            ids, own = self.pool.prompts[row].tolist(), self.pool.responses[row].tolist()
            most = None if limit is None else limit - len(own)
            if place < self.count - 1:
                ids = with_control(ids, self.first + place, bos, most)
            prompts.append(ids)
            responses.append(own)
        tokens, mask = pad(prompts, 0, side="left")
        prompt = PromptBatch(tokens=tokens, mask=mask, prompts=(Prompt(turns=()),) * len(rows))
        tokens, mask = pad(responses, 0, side="right")
        none = torch.zeros(mask.shape)
        ended = torch.zeros(len(rows), dtype=torch.bool)
        return Experience(
            rollout=Rollout(prompt=prompt, tokens=tokens, mask=mask, logp=none, ended=ended),
            logp=none,
            ref_logp=none,
            score=torch.tensor(self.pool.scores)[rows],
            values=None,
            advantages=none,
            returns=None,
            reward_unit=1.0,
        )

    # --- the loss

    def read(self, rollout: Rollout) -> Read:
        """Log-probabilities and exact KL of the responses' tokens: the policy sees the control
        tokens, the reference does not."""
        with torch.no_grad():
            ref_logits = self.parts.reference.predictions(unmarked(rollout, self.first))
        entropy = self.settings.entropy_coef > 0
        if self.control is None:
            return self.reader.read(rollout, ref_logits, entropy=entropy)
        with reading(self.policy, self.control):
            return self.reader.read(rollout, ref_logits, entropy=entropy)

    def loss(self, batch: Minibatch, reduce: Reduce) -> Losses:
        """-log pi + kl.coef * KL(pi || ref) of each token, less the entropy bonus."""
        rollout, mask = batch.experience.rollout, batch.experience.mask
        read = self.read(rollout)
        assert read.exact_kl is not None
        policy_loss, kl_loss = reduce(-read.logp, mask), reduce(self.kl.coef * read.exact_kl, mask)
        bonus, means = entropy_bonus(self.settings.entropy_coef, read, mask, reduce)
        return Losses(
            total=policy_loss + kl_loss - bonus,
            logp=read.logp.detach(),
            terms={"policy_loss": policy_loss, "kl_loss": kl_loss},
            means=means,
            largest={},
        )

    def finish_iteration(self) -> Metrics:
        record = super().finish_iteration()
        record.pop("trust_region/kl")  # the pool is no sample of the policy of now
        return record

    # --- state

    def extra_state(self) -> dict[str, Any]:
        return {**super().extra_state(), "pool": self.pool.state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        super().load_extra_state(state)
        self.pool.load(state["pool"])
