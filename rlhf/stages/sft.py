"""The SFT stage: demonstrations to a policy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from rlhf.data.collate import collate_demonstrations, encode_demonstrations, pad_id
from rlhf.data.loaders import ShuffledBatches, in_order
from rlhf.digests import digest
from rlhf.modules.sft import SFTModule
from rlhf.stages.context import Workshop, last_record
from rlhf.tracking.base import Tracker


def sft_fingerprint(shop: Workshop) -> str:
    return shop.fingerprint(
        "sft",
        model=shop.model.identity(),
        tokenizer=shop.tokenizer_content,
        demonstrations=digest(shop.data.demonstrations),
    )


def sft_artifact(shop: Workshop) -> Path:
    return shop.artifact("sft", sft_fingerprint(shop), {}, partial(_train, shop))


def _train(shop: Workshop, work: Path, tracker: Tracker) -> dict[str, Any]:
    settings = shop.cfg.sft
    collate = partial(
        collate_demonstrations,
        fill=pad_id(shop.tokenizer),
        train_on_prompt=settings.train_on_prompt,
    )
    train = encode_demonstrations(
        shop.tokenizer, shop.data.demonstrations.train, settings.max_length
    )
    heldout = encode_demonstrations(
        shop.tokenizer, shop.data.demonstrations.heldout, settings.max_length
    )
    cut = sum(row.cut for row in train)
    shop.tell_cut(
        "sft",
        cut,
        len(shop.data.demonstrations.train),
        dropped=len(shop.data.demonstrations.train) - len(train),
    )
    policy = shop.model.causal_lm(shop.tokenizer)
    module = SFTModule(
        policy,
        make_optimizer=shop.optimizer(settings.optimizer),
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
    shop.fit(
        module,
        batches,
        directory=work,
        grad_clip=settings.grad_clip,
        checkpoint_every=settings.checkpoint_every,
        tracker=tracker,
    )
    policy.save_pretrained(work)
    shop.tokenizer.save_pretrained(work)
    return {**last_record(work), "rows": len(train), "rows_cut": cut}
