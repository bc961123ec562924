"""The arguments of an online algorithm's module: its numbers, its models, and its prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from rlhf.at_once import AtOnce
from rlhf.data.collate import Encoded, EncodedPreference
from rlhf.functional.masking import Mode, Reduce
from rlhf.functional.pooling import Mean
from rlhf.functional.vocabulary import Read
from rlhf.models.networks import Policy
from rlhf.models.policy import PolicyReader
from rlhf.models.scalar import Scalar
from rlhf.ranks.group import Ranks
from rlhf.rollout.engines.base import Engine, Sampling
from rlhf.rollout.finite import OnNonfinite
from rlhf.rollout.score import Judges, Responses, Scorer
from rlhf.types import Minibatch, PromptBatch


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """The numbers of conf/evaluation, same names."""

    every: int
    prompts: int
    samples: int
    win_rate: str | None = None


@dataclass(frozen=True, kw_only=True)
class OnlineSettings:
    """The numbers of conf/ppo that a module reads, same names; beside them those of conf/evaluation
    and conf/generation, and the seed."""

    iterations: int
    minibatch_size: int
    micro_batch_size: int | None
    inner_epochs: int
    policy_clip: float
    value_clip: float | None
    value_coef: float
    entropy_coef: float
    aggregation: Mode
    critic_warmup: int
    on_nonfinite: OnNonfinite
    max_nonfinite: int
    lr_schedule: str
    lr_warmup: float
    evaluation: EvaluationSettings
    sampling: Sampling
    seed: int
    micro_batch_tokens: int | None = None
    responses_per_prompt: int = 1
    rollout_size: int = 1
    old_logp: Literal["sampled", "recomputed"] = "sampled"

    @property
    def at_once(self) -> AtOnce:
        """What goes through a network in one forward pass."""
        return AtOnce(rows=self.micro_batch_size, tokens=self.micro_batch_tokens)


@dataclass(frozen=True, kw_only=True)
class PromptSource:
    draw: Callable[[int], PromptBatch]  # the prompts of iteration i >= 1
    heldout: PromptBatch  # the fixed ones of every evaluation
    training: Callable[[], PromptBatch]  # all that `draw` draws from, each once


Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Rows(Generic[Row]):
    """A part of the data as ids, for an algorithm that learns from it."""

    train: Sequence[Row]
    heldout: Sequence[Row]
    collate: Callable[
        [Sequence[Row]], Any
    ]  # to a batch: of pairs PairBatch, else of demonstrations
    tokens: Callable[[Row], int]  # of a row, without padding; of a pair those of both texts


@dataclass(frozen=True, kw_only=True)
class OnlineParts:
    """The live objects. The module takes `policy` and `value_model` as its own, to train and to
    save; the frozen models stay here, where no checkpoint sees them."""

    policy: Policy
    value_model: Scalar | None  # of an algorithm that trains one
    reference: PolicyReader
    start: PolicyReader  # the policy that the run began with: the reference, unless that one moves
    engine: Engine  # it draws from `policy`
    judges: Judges
    scorer: Scorer
    prompts: PromptSource
    make_optimizer: Callable[[Policy, Scalar | None], torch.optim.Optimizer]
    # of an algorithm that `learns_from` them
    pairs: Rows[EncodedPreference] | None = None
    demonstrations: Rows[Encoded] | None = None
    # metrics of an evaluation's responses beside a baseline's; None: there is none
    win_rate: Callable[[Responses, Ranks, str], dict[str, float]] | None = None


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The loss of a minibatch, or of one of its micro-batches."""

    total: Tensor  # to descend
    logp: Tensor  # [B, T] of the policy at this step, without gradient
    terms: dict[str, Tensor]  # parts of the loss: over the micro-batches they add up
    means: dict[str, Mean]  # shares and means, whose sums are pooled
    largest: dict[str, Tensor]  # of these the largest is kept


def entropy_bonus(
    coef: float, read: Read, mask: Tensor, reduce: Reduce
) -> tuple[Tensor, dict[str, Mean]]:
    """coef times the entropy, to be taken off a loss, and its mean by name; 0 and nothing where it
    was not read."""
    if read.entropy is None:
        return read.logp.new_zeros(()), {}
    return coef * reduce(read.entropy, mask), {"entropy": Mean.of(read.entropy, mask)}


class Collects(Protocol):
    def collect(self) -> Iterator[Minibatch]: ...


class CollectedMinibatches:
    """The training loader of an online algorithm: each pass collects one iteration. It has no
    length, since the trust region may end it early."""

    def __init__(self, module: Collects) -> None:
        self.module = module

    def __iter__(self) -> Iterator[Minibatch]:
        return self.module.collect()
