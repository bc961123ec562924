"""The spine of the config: names, types and ranges. The values are in `conf/`; nothing here has a
default.

Attribute names are the YAML keys (`_target_` is `class_path`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rlhf.config.pieces.algorithm import Advantage, Algorithm
from rlhf.config.pieces.annotators.annotator import PLAIN_GOLD, Annotator
from rlhf.config.pieces.base import (
    Count,
    Duration,
    Number,
    Place,
    Positive,
    Rate,
    Seed,
    Share,
    Size,
    Strict,
    Temperature,
    Weight,
)
from rlhf.config.pieces.callbacks import Callback
from rlhf.config.pieces.data import Data
from rlhf.config.pieces.kl import Controller, Estimator, Placement, Reference
from rlhf.config.pieces.model import NO_ADAPTER, Adapter, Model
from rlhf.config.pieces.optimizer import Optimizer
from rlhf.config.pieces.scorer import Scorer
from rlhf.config.pieces.tracking import Tracking
from rlhf.config.pieces.trained import Trained, TrainedLayers
from rlhf.config.pieces.trust_region import TrustRegion
from rlhf.config.stages import STAGES

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=100)]
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=200)]


class Training(Strict):
    """The settings of every stage that trains."""

    grad_clip: Positive | None
    lr_schedule: Literal["constant", "linear", "cosine"]
    lr_warmup: Share
    checkpoint_every: Count
    optimizer: Optimizer


class Supervised(Training):
    seed: Seed
    # of a result that is there already: a folder or a hub name; its stage trains nothing then
    path: Place | None = None
    epochs: Count
    batch_size: Count
    max_length: Annotated[int, Field(ge=2, lt=2**31)]
    on_long: Literal["cut", "drop", "truncate_left", "error"] = "cut"
    max_rows: Count | None = None
    micro_batch_size: Size | None = None
    micro_batch_tokens: Count | None = None


class SFT(Supervised):
    train_on_prompt: bool
    train: bool = True  # False: the policy is the model as it is
    train_on_turns: Literal["all", "last"] = "all"
    trained: TrainedLayers = "all"


class RewardModel(Supervised):
    init: Literal["sft", "model"]
    margin: bool
    centering: Weight
    trained: Trained = "all"
    normalize: bool | Literal["auto"]
    normalize_samples: Annotated[int, Field(ge=2, le=10**6)]


class PPO(Training):
    iterations: Count
    rollout_size: Size
    minibatch_size: Size
    micro_batch_size: Size | None
    inner_epochs: Count
    policy_clip: Positive
    value_clip: Positive | None
    value_coef: Weight
    entropy_coef: Weight
    aggregation: Literal["token_mean", "sequence_sum", "sequence_mean", "fixed_length"]
    value_init: Literal["reward_model", "reward_backbone", "policy"]
    value_lr: Rate | None
    critic_warmup: Annotated[int, Field(ge=0, lt=2**31)]
    on_nonfinite: Literal["stop", "drop"]
    max_nonfinite: Count
    micro_batch_tokens: Count | None = None
    responses_per_prompt: Size = 1
    old_logp: Literal["sampled", "recomputed"] = "sampled"


class BestOfN(Strict):
    samples: Annotated[int, Field(ge=0, le=10**6)]
    prompts: Annotated[int, Field(ge=2, le=10**6)]
    seed: Seed


class Realign(Strict):
    """rlhf.realign: policies between the SFT policy and the run's, and beyond, at its end."""

    lambdas: list[Weight]  # none: not measured
    by: Annotated[list[Literal["decoding", "weights"]], Field(min_length=1)]
    prompts: Annotated[int, Field(ge=2, le=10**6)] | None  # None: evaluation.prompts
    samples: Size
    seed: Seed


NO_REALIGN = Realign(lambdas=[], by=["decoding", "weights"], prompts=None, samples=1, seed=0)


class Evaluation(Strict):
    every: Count
    prompts: Annotated[int, Field(ge=2, le=10**6)]
    samples: Annotated[int, Field(ge=0, le=10**6)]
    win_rate: Literal["sft", "reference"] | None = None


class Generation(Strict):
    max_new_tokens: Size
    temperature: Temperature
    top_k: Annotated[int, Field(ge=0, lt=2**31)]
    top_p: Annotated[Number, Field(gt=0, le=1)]
    max_prompt_tokens: Size | None = None
    stop: list[Annotated[str, Field(min_length=1, max_length=1000)]] = []
    micro_batch_size: Size | None = None
    micro_batch_tokens: Count | None = None
    engine: Literal["torch", "hf"] = "torch"
    graphs: bool = True


class KL(Strict):
    coef: Weight
    controller: Controller
    estimator: Estimator
    placement: Placement
    reference: Reference


class Trainer(Strict):
    accelerator: Literal["cpu", "cuda"]
    precision: Literal["32-true", "bf16-true", "bf16-mixed"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    gradient_checkpointing: bool = False
    # defaults: one device, as in configs that were kept before there were several
    strategy: Literal["single", "ddp", "fsdp"] = "single"
    devices: Annotated[int, Field(ge=1, le=1024)] = 1
    num_nodes: Annotated[int, Field(ge=1, le=1024)] = 1
    timeout: Duration = "30m"

    @property
    def ranks(self) -> int:
        """The processes that train together, one a device."""
        return self.devices * self.num_nodes


class Checkpoints(Strict):
    after_finish: Literal["none", "last"]
    take_over: bool


class Paths(Strict):
    outputs: Place
    sweeps: Place
    artifacts: Place
    run_name: FolderName
    run_dir: Place
    sweep_dir: Place
    data: Place = "../shared/data"


class Config(Strict):
    study: Name
    sweep: Name | None
    stage: Literal[*STAGES]  # type: ignore[valid-type]
    seed: Seed
    rerun: bool
    data: Data
    model: Model
    sft: SFT
    reward_model: RewardModel
    algorithm: Algorithm
    ppo: PPO
    advantage: Advantage
    evaluation: Evaluation
    generation: Generation
    scorer: Scorer
    kl: KL
    trust_region: TrustRegion
    trainer: Trainer
    best_of_n: BestOfN
    callbacks: dict[str, Callback]
    tracking: Tracking
    paths: Paths
    # defaults, so that configs that were kept before there were these are still valid
    time_limit: Duration | None = None
    requeue: bool = False
    adapter: Adapter = NO_ADAPTER
    checkpoints: Checkpoints = Checkpoints(after_finish="none", take_over=True)
    realign: Realign = NO_REALIGN
    annotator: Annotator = PLAIN_GOLD
    labels: Literal["data", "annotator"] = "data"  # whose the data's own pairs have

    def plain(self) -> dict[str, Any]:
        """The config as plain YAML types, `_target_` keys included."""
        return self.model_dump(by_alias=True, mode="json")
