"""The data that flows: each step of an iteration makes a new type and changes none.

    PromptBatch -> Rollout -> TokenView (read by policy and reference), and scored
                -> ScoredRollout -> Experience
                -> Minibatch (some rows of it, with the totals of their optimizer step)

Shapes: B responses, P prompt tokens (padded left), T response tokens (padded right), L = P + T.
Masks are boolean, True = counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from rlhf.data.conversations import Prompt


class Batch:
    """Rows that move between devices together and can be selected. Fields are tensors with rows
    first, tuples with an item a row, batches or dicts of these; numbers stay as they are."""

    def _map(self, tensor_fn: Any, list_fn: Any) -> Self:
        def apply(value: Any) -> Any:
            if isinstance(value, Tensor):
                return tensor_fn(value)
            if isinstance(value, Batch):
                return value._map(tensor_fn, list_fn)
            if isinstance(value, tuple):
                return list_fn(value)
            if isinstance(value, dict):
                return {name: apply(item) for name, item in value.items()}
            return value

        return type(self)(**{f.name: apply(getattr(self, f.name)) for f in fields(self)})  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Self:
        return self._map(lambda x: x.to(device), lambda x: x)

    def rows(self, index: Tensor) -> Self:
        """The rows `index` [N] (integers), in that order."""
        return self._map(
            lambda x: x[index.to(x.device)], lambda x: tuple(x[i] for i in index.tolist())
        )


@dataclass(frozen=True, kw_only=True)
class PromptBatch(Batch):
    tokens: Tensor  # [B, P] long, padded left
    mask: Tensor  # [B, P] bool
    prompts: tuple[Prompt, ...]  # B

    @property
    def texts(self) -> tuple[str, ...]:
        """As people and judges of text read them."""
        return tuple(prompt.text for prompt in self.prompts)

    @property
    def references(self) -> tuple[str | None, ...]:
        """The answers that rules compare with, where the data has them."""
        return tuple(prompt.reference for prompt in self.prompts)

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass(frozen=True, kw_only=True)
class Rollout(Batch):
    """Responses of the policy. `mask` is True up to and including the first stop token."""

    prompt: PromptBatch
    tokens: Tensor  # [B, T] long, padded right
    mask: Tensor  # [B, T] bool
    logp: Tensor  # [B, T] of the (warped) distribution that was sampled, 0 where masked
    entropy: Tensor | None = None  # [B, T] that distribution's, nats, 0 where masked; None: unknown
    ended: Tensor  # [B] bool: a stop came before the length ran out

    @property
    def sequence(self) -> Tensor:
        return torch.cat([self.prompt.tokens, self.tokens], dim=1)  # [B, L]

    @property
    def attention(self) -> Tensor:
        return torch.cat([self.prompt.mask, self.mask], dim=1)  # [B, L] bool

    @property
    def length(self) -> int:
        """Of each row, padding counted: P + T."""
        return self.prompt.tokens.shape[1] + self.tokens.shape[1]

    def split(self, rows: int) -> Iterator[Rollout]:
        """Its responses in order, `rows` at a time."""
        for index in torch.arange(len(self.tokens)).split(rows):
            yield self.rows(index)


@dataclass(frozen=True, kw_only=True)
class TokenView(Batch):
    """Policy and reference at each token of a rollout; all [B, T], 0 where masked."""

    logp: Tensor  # of the policy that sampled: the sampler's, or of a forward pass
    ref_logp: Tensor
    entropy: Tensor
    exact_kl: Tensor | None  # sum over the vocabulary at each prefix, where both read the rollout

    @property
    def recomputed(self) -> bool:
        """Whether the policy read the rollout; else its numbers are the sampler's."""
        return self.exact_kl is not None


@dataclass(frozen=True, kw_only=True)
class ScoredRollout(TokenView):
    """A rollout as policy, reference, value model and scorer see it, before the KL is added."""

    rollout: Rollout
    kl: Tensor  # [B, T] the penalty's estimate per token, 0 where masked
    values: Tensor | None  # [B, T] of the state before each token, where there is a value model
    judge_scores: dict[str, Tensor]  # every judge's score [B], by name
    raw_score: Tensor  # [B] the scorer's, with its rule for responses that never ended
    score: Tensor  # [B] after the scorer's clip: the training reward, before the KL


@dataclass(frozen=True, kw_only=True)
class Experience(Batch):
    """The data of an online algorithm's loss, one row a response."""

    rollout: Rollout
    logp: Tensor  # [B, T] old log-probabilities
    ref_logp: Tensor  # [B, T]
    score: Tensor  # [B] the training reward of the whole response, before the KL
    values: Tensor | None  # [B, T] old values, where there is a value model
    advantages: Tensor  # [B, T]
    returns: Tensor | None  # [B, T] that a value model learns, where there is one
    # one unit of reward in units of `advantages`: 1, or 1/std where they (or the rewards) were
    # whitened
    reward_unit: float

    @property
    def mask(self) -> Tensor:
        return self.rollout.mask

    def __len__(self) -> int:
        return len(self.logp)

    def nothing(self) -> Experience:
        """One row of which no token counts: a forward pass needs a row."""
        row = self.rows(torch.tensor([0]))
        mask = torch.zeros_like(row.mask)
        return replace(row, rollout=replace(row.rollout, mask=mask))


@dataclass(frozen=True, kw_only=True)
class Minibatch(Batch):
    """Rows of one optimizer step, or a micro-batch of them; the totals are the whole step's, so
    no loss depends on the split."""

    experience: Experience
    step_tokens: int  # response tokens of the whole step
    step_sequences: int  # responses of the whole step
    splits: int  # micro-batches of the whole step
    epoch: int = 0  # the pass over the rollout that it is of
    demonstrations: DemonstrationBatch | None = None  # of an algorithm that learns them beside it


@dataclass(frozen=True, kw_only=True)
class SupervisedBatch(Batch):
    """Rows of one optimizer step, or a micro-batch of them."""

    step_count: int | None = None  # of a micro-batch: what its whole step's mean is over
    splits: int = 1  # what a loop divides the loss of a micro-batch by
    counts: bool = True  # False: its rows are here for their forward pass alone

    @property
    def counted(self) -> int:  # what the mean of a loss is over
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class DemonstrationBatch(SupervisedBatch):
    tokens: Tensor  # [B, L] padded right
    attention: Tensor  # [B, L] bool
    loss_mask: Tensor  # [B, L] bool: tokens that the loss predicts

    @property
    def counted(self) -> int:  # tokens: the first of a row has none before it
        return int(self.loss_mask[:, 1:].sum()) if self.counts else 0


@dataclass(frozen=True, kw_only=True)
class PreferenceBatch(SupervisedBatch):
    chosen: Tensor  # [B, L] prompt and completion, padded right
    chosen_mask: Tensor  # [B, L] bool
    rejected: Tensor  # [B, L']
    rejected_mask: Tensor  # [B, L'] bool
    margin: Tensor  # [B], 0 where none is known

    @property
    def texts(self) -> tuple[Tensor, Tensor]:
        """tokens, mask [2B, max(L, L')]: the chosen ones, then the rejected ones."""
        sides = (self.chosen, self.rejected), (self.chosen_mask, self.rejected_mask)
        width = max(tokens.shape[1] for tokens in sides[0])
        tokens, mask = (
            torch.cat([F.pad(x, (0, width - x.shape[1])) for x in pair]) for pair in sides
        )
        return tokens, mask

    @property
    def counted(self) -> int:
        """Pairs."""
        return len(self.margin) if self.counts else 0


@dataclass(frozen=True, kw_only=True)
class PairBatch(SupervisedBatch):
    """Pairs of texts to one prompt, of which a policy reads the answers: the chosen one first."""

    tokens: Tensor  # [B, 2, L] prompt and answer, padded right
    attention: Tensor  # [B, 2, L] bool
    answers: Tensor  # [B, 2, L] bool: the tokens of the answer
    ref_logp: Tensor | None = None  # [B, 2] log-probabilities of the answers under the reference

    @property
    def counted(self) -> int:
        """Pairs."""
        return len(self.tokens) if self.counts else 0
