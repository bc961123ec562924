"""The spine of the config: names, types and ranges. The values are in `conf/`; nothing here has a
default.

Attribute names are the YAML keys (`_target_` is `class_path`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rlhf.config import pieces
from rlhf.config.base import ByTarget, Count, Custom, NotNegative, Positive, Seed, Share, Strict

Schedule = Literal["constant", "linear", "cosine"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=100)]

Data = Annotated[
    pieces.Reviews | pieces.Micro | pieces.JsonLines | pieces.RTPolarity | Custom, ByTarget()
]
Model = Annotated[pieces.TinyModel | pieces.HFModel | Custom, ByTarget()]
Optimizer = Annotated[pieces.Adam | pieces.AdamW | pieces.SGD | Custom, ByTarget()]
Controller = Annotated[
    pieces.Fixed
    | pieces.Adaptive
    | pieces.AdaptiveAlpacaFarm
    | pieces.Linear
    | pieces.Cosine
    | pieces.PID
    | pieces.Dual
    | Custom,
    ByTarget(),
]
Estimator = Annotated[pieces.Estimator | Custom, ByTarget()]
Placement = Annotated[pieces.Placement | Custom, ByTarget()]
Reference = Annotated[pieces.SFTReference | pieces.EMA | pieces.Synced | Custom, ByTarget()]
TrustRegion = Annotated[pieces.Unlimited | pieces.EarlyStop | pieces.Penalty | Custom, ByTarget()]
Scorer = Annotated[pieces.Scorer | Custom, ByTarget()]
Callback = Annotated[pieces.Progress | pieces.Oracle | Custom, ByTarget()]
Tracking = Annotated[pieces.NoTracker | pieces.MLflowTracker | Custom, ByTarget()]


class SFT(Strict):
    seed: Seed
    epochs: Count
    batch_size: Count
    max_length: Annotated[int, Field(ge=2)]
    train_on_prompt: bool
    grad_clip: Positive | None
    lr_schedule: Schedule
    lr_warmup: Share
    checkpoint_every: Count
    optimizer: Optimizer


class RewardModel(Strict):
    seed: Seed
    init: Literal["sft", "model"]
    epochs: Count
    batch_size: Count
    max_length: Annotated[int, Field(ge=2)]
    margin: bool
    centering: NotNegative
    normalize: bool
    normalize_samples: Annotated[int, Field(ge=2)]
    grad_clip: Positive | None
    lr_schedule: Schedule
    lr_warmup: Share
    checkpoint_every: Count
    optimizer: Optimizer


class PPO(Strict):
    iterations: Count
    rollout_size: Count
    minibatch_size: Count
    micro_batch_size: Count | None
    inner_epochs: Count
    policy_clip: Positive
    value_clip: Positive | None
    value_coef: NotNegative
    entropy_coef: NotNegative
    aggregation: Literal["token_mean", "sequence_sum", "sequence_mean", "fixed_length"]
    value_init: Literal["reward_model", "policy"]
    value_lr: Positive | None
    critic_warmup: Annotated[int, Field(ge=0)]
    missing_eos: Literal["none", "set", "subtract"]
    missing_eos_value: float | None
    reward_clip: Positive | None
    whiten_rewards: bool
    grad_clip: Positive | None
    lr_schedule: Schedule
    lr_warmup: Share
    checkpoint_every: Count
    eval_every: Count
    eval_prompts: Annotated[int, Field(ge=2)]
    eval_samples: Annotated[int, Field(ge=0)]
    optimizer: Optimizer


class BestOfN(Strict):
    samples: Annotated[int, Field(ge=0)]
    prompts: Annotated[int, Field(ge=2)]
    seed: Seed


class Advantage(Strict):
    gamma: Share
    lam: Share
    whiten: bool


class Generation(Strict):
    max_new_tokens: Count
    temperature: Positive
    top_k: Annotated[int, Field(ge=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]


class KL(Strict):
    coef: NotNegative
    controller: Controller
    estimator: Estimator
    placement: Placement
    reference: Reference


class Trainer(Strict):
    accelerator: Literal["cpu", "cuda"]
    precision: Literal["32-true", "bf16-mixed"]
    threads: Count


class Paths(Strict):
    outputs: str
    sweeps: str
    artifacts: str
    run_name: str
    run_dir: str
    sweep_dir: str


class Config(Strict):
    study: Name
    sweep: Name | None
    stage: Literal["sft", "reward_model", "ppo"]
    seed: Seed
    rerun: bool
    data: Data
    model: Model
    sft: SFT
    reward_model: RewardModel
    ppo: PPO
    advantage: Advantage
    generation: Generation
    scorer: Scorer
    kl: KL
    trust_region: TrustRegion
    trainer: Trainer
    best_of_n: BestOfN
    callbacks: dict[str, Callback]
    tracking: Tracking
    paths: Paths

    def plain(self) -> dict[str, Any]:
        """The config as plain YAML types, `_target_` keys included."""
        return self.model_dump(by_alias=True, mode="json")
