"""The SFT stage: demonstrations to a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedModel

from rlhf.config.build import build
from rlhf.config.pieces.trained import ADAPTER
from rlhf.config.properties import is_trained
from rlhf.data.collate import collate_demonstrations
from rlhf.data.loaders import MicroBatches, ShuffledBatches, in_order
from rlhf.data.records import DataError, Split
from rlhf.digests import digest
from rlhf.models.adapters.backbone import SharedBackbone
from rlhf.models.adapters.views import PolicyView
from rlhf.models.files.adapter import Base
from rlhf.models.networks import SFT, Policy
from rlhf.models.training.partial import train_only
from rlhf.modules.base import StageModule
from rlhf.modules.supervised.sft import SFTModule
from rlhf.rundir.read import last_row
from rlhf.stages.adapted.base import adapter_part, kept_base
from rlhf.stages.context import Parents, StageContext
from rlhf.stages.outside.adapter import lora_of
from rlhf.stages.outside.take import enter_adapter, enter_policy, given_adapter
from rlhf.stages.rows import at_once, encoded_rows, padded_tokens
from rlhf.tracking.base import Tracker


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """The model, the tokenizer, the template and the demonstrations: they decide it beside its
    settings. Of a policy that is taken as it is, the first three alone."""
    model = {"model": context.start.identity(), **text_parts(context)}
    rows = context.data.demonstrations
    if not is_trained(context.cfg, "sft"):
        kept = {"kept": "adapter"} if given_adapter(context) else {}
        return {**model, **kept, "settings": None, "trainer": None}
    return {
        **model,
        **adapter_part(context.cfg, "sft"),
        "demonstrations": digest(None) if rows is None else rows.fingerprint,
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
    if outside := given_adapter(context):
        enter_adapter(context, outside, work)
        return {}
    given, beside = not is_trained(context.cfg, "sft"), settings.trained == ADAPTER
    model = context.initial_policy(frozen=beside or (given and context.cfg.adapter.is_used))
    if given:
        enter_policy(context, model, work)
        return {}
    if rows is None:
        raise DataError("the data has no demonstrations: sft.path=... or sft=none needs none")
    policy: Policy
    policy, base = (
        adapter_on(context, model) if beside else (train_only(model, settings.trained), None)
    )
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
    context.save_policy(policy, work, base)
    return metrics


def adapter_on(context: StageContext, model: PreTrainedModel) -> tuple[PolicyView, Base]:
    """A fresh adapter on the model, and where the model is kept."""
    base = kept_base(context, context.start, model)
    shared = SharedBackbone(model)
    shared.add(SFT, lora_of(context.cfg.adapter), seed=context.cfg.sft.seed)
    return PolicyView(shared, SFT).requires_grad_(True), base


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
    if limit.limits or context.cfg.trainer.ranks > 1:
        batches = MicroBatches(
            *(batches, limit),
            tokens=padded_tokens,
            began=module.accumulate,
            ranks=lambda: module.ranks,
        )
    context.fit(module, batches, settings, directory=work, tracker=tracker)
    return {**last_row(work / "metrics.jsonl"), **encoded.counts}
