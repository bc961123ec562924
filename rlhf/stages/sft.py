"""The SFT stage: demonstrations to a policy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from rlhf.data.collate import collate_demonstrations, encode_demonstrations, pad_id
from rlhf.data.loaders import ShuffledBatches, in_order
from rlhf.digests import digest
from rlhf.modules.sft import SFTModule
from rlhf.stages.context import Parents, StageContext, last_record
from rlhf.tracking.base import Tracker


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """The model, the tokenizer and the demonstrations: beside its settings they decide it."""
    return {
        "model": context.model.identity(),
        "tokenizer": digest(context.tokenizer.backend_tokenizer.to_str()),  # type: ignore[attr-defined]
        "demonstrations": digest(context.data.demonstrations),
    }


def train_sft(
    context: StageContext, parents: Parents, work: Path, tracker: Tracker
) -> dict[str, Any]:
    """Ends with the policy in `work`; returns its metrics."""
    settings, rows = context.cfg.sft, context.data.demonstrations
    collate = partial(
        collate_demonstrations,
        fill=pad_id(context.tokenizer),
        train_on_prompt=settings.train_on_prompt,
    )
    train = encode_demonstrations(context.tokenizer, rows.train, settings.max_length)
    heldout = encode_demonstrations(context.tokenizer, rows.heldout, settings.max_length)
    cut = sum(row.cut for row in train)
    context.tell_cut("sft", cut, len(rows.train), dropped=len(rows.train) - len(train))
    policy = context.model.causal_lm(context.tokenizer)
    module = SFTModule(
        policy,
        make_optimizer=context.optimizer(settings.optimizer),
        heldout=lambda: in_order(heldout, settings.batch_size, collate),
        epochs=settings.epochs,
        lr_schedule=settings.lr_schedule,
        lr_warmup=settings.lr_warmup,
    )
    batches = ShuffledBatches(
        train,
        settings.batch_size,
        collate,
        seed=settings.seed,
        stage="sft",
        epoch=lambda: module.iteration,
    )
    context.fit(
        module,
        batches,
        directory=work,
        grad_clip=settings.grad_clip,
        checkpoint_every=settings.checkpoint_every,
        tracker=tracker,
    )
    context.model.save(policy, context.tokenizer, work)
    return {**last_record(work), "rows": len(train), "rows_cut": cut}
