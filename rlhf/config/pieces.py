"""The leaves of the config: what has a `_target_`. One model per class; its fields are the class's
keyword arguments.

A class of the user's own is a `Custom` piece: its arguments are not checked here, and its package
must have been allowed (see `rlhf.config.allow`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlhf.config.base import Count, KLUnit, NotNegative, OpenShare, Positive, Seed, Strict

# --- data


class Reviews(Strict):
    class_path: Literal["rlhf.data.reviews.Reviews"] = Field(alias="_target_")
    seed: Seed
    demonstrations: Count
    pairs: Count
    label_temperature: Positive
    prompts: Annotated[int, Field(ge=2)]
    heldout_fraction: OpenShare
    max_response_tokens: Count


class Micro(Strict):
    class_path: Literal["rlhf.data.micro.Micro"] = Field(alias="_target_")
    seed: Seed
    vocabulary: Annotated[int, Field(ge=2, le=26)]
    prompts: Count
    demonstrations: Count
    pairs: Count
    label_temperature: Positive
    max_response_tokens: Annotated[int, Field(ge=1, le=12)]


class JsonLines(Strict):
    class_path: Literal["rlhf.data.jsonl.JsonLines"] = Field(alias="_target_")
    demonstrations: str
    preferences: str | None
    prompts: str | None
    gold: Literal["vader"] | None
    prompt_words: Count
    pairs: Count
    label_temperature: Positive
    heldout_fraction: OpenShare
    seed: Seed
    vocabulary: Annotated[int, Field(ge=258)]
    max_response_tokens: Count


class RTPolarity(Strict):
    class_path: Literal["rlhf.data.rt_polarity.RTPolarity"] = Field(alias="_target_")
    path: str
    seed: Seed
    prompt_words: Count
    prompts: Annotated[int, Field(ge=2)]
    pairs: Count
    label_temperature: Positive
    heldout_fraction: OpenShare
    vocabulary: Annotated[int, Field(ge=258)]
    max_response_tokens: Count


# --- model


class TinyModel(Strict):
    class_path: Literal["rlhf.models.load.TinyModel"] = Field(alias="_target_")
    architecture: Literal["llama", "gpt2"]
    hidden_size: Count
    layers: Count
    heads: Count
    seed: Seed


class HFModel(Strict):
    class_path: Literal["rlhf.models.load.HFModel"] = Field(alias="_target_")
    path: str
    revision: str | None
    dtype: Literal["float32", "bfloat16"]
    trust_remote_code: bool


# --- optimizer

Betas = Annotated[
    tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
    Field(strict=False),
]


class Adam(Strict):
    class_path: Literal["torch.optim.Adam"] = Field(alias="_target_")
    lr: Positive
    betas: Betas
    eps: Positive


class AdamW(Strict):
    class_path: Literal["torch.optim.AdamW"] = Field(alias="_target_")
    lr: Positive
    betas: Betas
    eps: Positive
    weight_decay: NotNegative


class SGD(Strict):
    class_path: Literal["torch.optim.SGD"] = Field(alias="_target_")
    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NotNegative


# --- kl: controllers


class Fixed(Strict):
    class_path: Literal["rlhf.kl.controller.Fixed"] = Field(alias="_target_")


class Adaptive(Strict):
    class_path: Literal["rlhf.kl.controller.Adaptive"] = Field(alias="_target_")
    target: Positive
    horizon: Positive
    unit: KLUnit


class AdaptiveAlpacaFarm(Strict):
    class_path: Literal["rlhf.kl.controller.AdaptiveAlpacaFarm"] = Field(alias="_target_")
    target: Positive
    k_beta: Positive
    unit: KLUnit


class Linear(Strict):
    class_path: Literal["rlhf.kl.controller.Linear"] = Field(alias="_target_")
    final: NotNegative
    iterations: Count


class Cosine(Strict):
    class_path: Literal["rlhf.kl.controller.Cosine"] = Field(alias="_target_")
    final: NotNegative
    iterations: Count


class PID(Strict):
    class_path: Literal["rlhf.kl.controller.PID"] = Field(alias="_target_")
    target: Positive
    kp: NotNegative
    ki: NotNegative
    kd: NotNegative
    min_coef: Positive
    max_coef: Positive
    unit: KLUnit


class Dual(Strict):
    class_path: Literal["rlhf.kl.controller.Dual"] = Field(alias="_target_")
    target: Positive
    lr: Positive
    min_coef: Positive
    max_coef: Positive
    unit: KLUnit


# --- kl: estimators, placements, references


class Estimator(Strict):
    class_path: Literal[
        "rlhf.kl.estimator.K1",
        "rlhf.kl.estimator.K2",
        "rlhf.kl.estimator.K3",
        "rlhf.kl.estimator.Abs",
        "rlhf.kl.estimator.K1Clamped",
        "rlhf.kl.estimator.Exact",
    ] = Field(alias="_target_")


class Placement(Strict):
    class_path: Literal[
        "rlhf.kl.placement.Reward",
        "rlhf.kl.placement.Loss",
        "rlhf.kl.placement.SequenceLoss",
        "rlhf.kl.placement.Both",
    ] = Field(alias="_target_")


class SFTReference(Strict):
    class_path: Literal["rlhf.kl.reference.SFT"] = Field(alias="_target_")


class EMA(Strict):
    class_path: Literal["rlhf.kl.reference.EMA"] = Field(alias="_target_")
    decay: OpenShare


class Synced(Strict):
    class_path: Literal["rlhf.kl.reference.Synced"] = Field(alias="_target_")
    every: Count


# --- the rest


class Unlimited(Strict):
    class_path: Literal["rlhf.modules.trust_region.Unlimited"] = Field(alias="_target_")


class EarlyStop(Strict):
    class_path: Literal["rlhf.modules.trust_region.EarlyStop"] = Field(alias="_target_")
    target: Positive


class Penalty(Strict):
    class_path: Literal["rlhf.modules.trust_region.Penalty"] = Field(alias="_target_")
    coef: Positive
    target: Positive


class Scorer(Strict):
    class_path: Literal["rlhf.rollout.score.RewardModelScorer", "rlhf.rollout.score.GoldScorer"] = (
        Field(alias="_target_")
    )


class Progress(Strict):
    class_path: Literal["rlhf.callbacks.progress.Progress"] = Field(alias="_target_")


class Oracle(Strict):
    class_path: Literal["rlhf.callbacks.oracle.Oracle"] = Field(alias="_target_")


class NoTracker(Strict):
    class_path: Literal["rlhf.tracking.base.NoTracker"] = Field(alias="_target_")


class MLflowTracker(Strict):
    class_path: Literal["rlhf.tracking.mlflow.MLflowTracker"] = Field(alias="_target_")
    uri: str
    experiment: str
    nested: bool = False  # what runs kept that were made before there was a choice does not say it
