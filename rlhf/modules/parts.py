"""What a PPO module is made of: its numbers, who takes part without being trained, and where
prompts come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from rlhf.functional.aggregation import Mode
from rlhf.rollout.score import Judges, Scorer
from rlhf.types import PromptBatch


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """The numbers of conf/ppo, same names."""

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
    missing_eos: str
    missing_eos_value: float | None
    reward_clip: float | None
    eval_every: int
    eval_samples: int
    lr_schedule: str
    lr_warmup: float

    @property
    def forward_rows(self) -> int:
        return self.micro_batch_size or self.minibatch_size


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """Who takes part without being trained: kept out of the module's parameters, so no
    checkpoint carries them by accident."""

    reference: PreTrainedModel
    judges: Judges
    scorer: Scorer
    # where the reference moves: the policy that the run started from
    sft: PreTrainedModel | None = None

    @property
    def start(self) -> PreTrainedModel:
        """The SFT policy, to which evaluations measure the KL whatever the reference does."""
        return self.reference if self.sft is None else self.sft

    def to(self, device: torch.device) -> None:
        self.reference.to(device)  # type: ignore[arg-type]
        self.start.to(device)  # type: ignore[arg-type]
        if self.judges.reward_model is not None:
            self.judges.reward_model.to(device)


@dataclass(frozen=True, kw_only=True)
class PromptSource:
    draw: Callable[[int], PromptBatch]  # the prompts of iteration i >= 1
    heldout: PromptBatch  # the fixed ones of every evaluation
    training: Callable[[], PromptBatch]  # all that `draw` draws from, each once
