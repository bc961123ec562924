"""The SFT stage: demonstrations to a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rlhf.config.build import build
from rlhf.config.properties import is_trained
from rlhf.data.collate import collate_demonstrations
from rlhf.data.loaders import MicroBatches, ShuffledBatches, in_order
from rlhf.data.records import DataError, Split
from rlhf.digests import digest
from rlhf.models.partial import train_only
from rlhf.modules.base import StageModule
from rlhf.modules.sft import SFTModule
from rlhf.rundir.read import last_row
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.outside.take import enter_policy
from rlhf.stages.rows import at_once, encoded_rows, padded_tokens
from rlhf.tracking.base import Tracker


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """The model, the tokenizer, the template and the demonstrations: they decide it beside its
    settings. Of a policy that is taken as it is, the first three alone."""
    model = {"model": context.start.identity(), **text_parts(context)}
    if not is_trained(context.cfg, "sft"):
        return {**model, "settings": None, "trainer": None}
    return {
        **model,
        "demonstrations": digest(context.data.demonstrations),
        "on_long_prompt": context.long_prompts("demonstrations").rule,
    }


def text_parts(context: StageContext) -> dict[str, str]:
    """How text becomes ids: the tokenizer and the template."""
    return {
        "tokenizer": digest(context.tokenizer.backend_tokenizer.to_str()),  # type: ignore[attr-defined]
        "template": digest(context.rendering.template.text),
    }


def train_sft(
    context: StageContext, parents: Parents, work: Path, tracker: Tracker
) -> dict[str, Any]:
    """Ends with the policy in `work`; returns its metrics."""
    settings, rows = context.cfg.sft, context.data.demonstrations
    policy = context.initial_policy()
    if not is_trained(context.cfg, "sft"):
        enter_policy(context, policy, work)
        return {}
    if rows is None:
        raise DataError("the data has no demonstrations: sft.path=... or sft=none needs none")
    train_only(policy, settings.trained)
    metrics = train_on_rows(
        context,
        "sft",
        rows,
        make_module=partial(SFTModule, policy),
        collate=partial(
            collate_demonstrations,
            fill=context.rendering.pad_id,
            train_on_prompt=settings.train_on_prompt,
            turns=settings.train_on_turns,
        ),
        work=work,
        tracker=tracker,
    )
    context.save_policy(policy, work)
    return metrics


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
    limit, size = at_once(settings), settings.batch_size
    module = make_module(
        make_optimizer=lambda params: build(settings.optimizer, params=params),
        heldout=lambda: in_order(
            encoded.heldout, size, collate, at_once=limit, tokens=padded_tokens
        ),
        epochs=settings.epochs,
        lr_schedule=settings.lr_schedule,
        lr_warmup=settings.lr_warmup,
        steps=-(-len(encoded.train) // size),
    )
    batches: Any = ShuffledBatches(
        encoded.train,
        size,
        collate,
        seed=settings.seed,
        stage=stage,
        epoch=lambda: module.iteration,
    )
    if limit.limits:
        batches = MicroBatches(batches, limit, tokens=padded_tokens, began=module.accumulate)
    context.fit(module, batches, settings, directory=work, tracker=tracker)
    return {**last_row(work / "metrics.jsonl"), **encoded.counts}
