"""The SFT stage: demonstrations to a policy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rlhf.config.build import build
from rlhf.data.collate import collate_demonstrations, pad_id
from rlhf.data.loaders import ShuffledBatches, in_order
from rlhf.data.records import Split
from rlhf.digests import digest
from rlhf.models.eos import ignored_eos_warning
from rlhf.models.partial import train_only
from rlhf.modules.base import StageModule
from rlhf.modules.sft import SFTModule
from rlhf.rundir.read import last_row
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.rows import encoded_rows
from rlhf.tracking.base import Tracker

log = logging.getLogger(__name__)


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """The model, the tokenizer and the demonstrations: beside its settings they decide it."""
    return {
        "model": context.model.identity(),
        "tokenizer": digest(context.tokenizer.backend_tokenizer.to_str()),  # type: ignore[attr-defined]
        "demonstrations": digest(context.data.demonstrations),
        "on_long_prompt": context.long_prompts("demonstrations").rule,
    }


def train_sft(
    context: StageContext, parents: Parents, work: Path, tracker: Tracker
) -> dict[str, Any]:
    """Ends with the policy in `work`; returns its metrics."""
    policy, fill = context.initial_policy(), pad_id(context.tokenizer)
    warnings = ignored_eos_warning(policy, context.tokenizer)
    for warning in warnings:
        log.warning("%s", warning)
    train_only(policy, context.cfg.sft.trained)
    metrics = train_on_rows(
        context,
        "sft",
        context.data.demonstrations,
        make_module=partial(SFTModule, policy),
        collate=partial(
            collate_demonstrations, fill=fill, train_on_prompt=context.cfg.sft.train_on_prompt
        ),
        work=work,
        tracker=tracker,
    )
    context.model.save(policy, context.tokenizer, work)
    return {**metrics, "warnings": warnings}


def train_on_rows(
    context: StageContext,
    stage: Literal["sft", "reward_model"],
    rows: Split[Any],
    *,
    make_module: Callable[..., StageModule],
    collate: Callable[[Sequence[Any]], Any],
    work: Path,
    tracker: Tracker,
) -> dict[str, Any]:
    """Trains the module of a supervised stage on its rows, as the stage's settings say; returns its
    last metrics."""
    settings, encoded = getattr(context.cfg, stage), encoded_rows(context, stage, rows)
    module = make_module(
        make_optimizer=lambda params: build(settings.optimizer, params=params),
        heldout=lambda: in_order(encoded.heldout, settings.batch_size, collate),
        epochs=settings.epochs,
        lr_schedule=settings.lr_schedule,
        lr_warmup=settings.lr_warmup,
    )
    batches = ShuffledBatches(
        encoded.train,
        settings.batch_size,
        collate,
        seed=settings.seed,
        stage=stage,
        epoch=lambda: module.iteration,
    )
    context.fit(module, batches, settings, directory=work, tracker=tracker)
    return {**last_row(work / "metrics.jsonl"), **encoded.counts}
