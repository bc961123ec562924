"""The rows of the parts of the data that an algorithm learns from, and what decides them.

They are those that the supervised stage of their part would be trained on: preference pairs the
reward model's (`reward_model.max_length`, `on_long`, `max_rows`), demonstrations those of SFT.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from rlhf.config.properties import learns_from
from rlhf.data.collate import (
    Encoded,
    EncodedPreference,
    collate_demonstrations,
    collate_pairs,
)
from rlhf.data.records import DataError, Split
from rlhf.modules.parts import Rows
from rlhf.stages.context import StageContext
from rlhf.stages.reward_model import sample_preferences
from rlhf.stages.rows import ROWS_OF, EncodedRows, encoded_rows, pairs_part, sampled_part, tokens_of


def fingerprint_parts(context: StageContext) -> dict[str, Any]:
    """What decides those rows. Nothing of an algorithm that learns from prompts alone: the same run
    keeps its fingerprint."""
    parts = {part: _decided_by(context, part) for part in learns_from(context.cfg.algorithm)}
    return {"learns_from": parts} if parts else {}


def _decided_by(context: StageContext, part: str) -> dict[str, Any]:
    settings, rows = getattr(context.cfg, ROWS_OF[part]), getattr(context.data, part)
    sampled = rows is None
    return {
        "rows": pairs_part(context) if part == "preferences" else rows and rows.fingerprint,
        "sampled": sampled_part(context) if sampled else None,
        "seed": settings.seed if sampled or settings.max_rows is not None else None,
        **{name: getattr(settings, name) for name in ("max_length", "on_long", "max_rows")},
        "on_long_prompt": context.long_prompts(part).rule,
    }


def pairs_of(context: StageContext, sft: Path) -> Rows[EncodedPreference] | None:
    """The preference pairs of an algorithm that learns from them. Where the data has none they are
    sampled from the SFT policy and labelled by gold, the same ones as the reward model's."""
    if "preferences" not in learns_from(context.cfg.algorithm):
        return None
    if "reward_model" in context.rows:  # a reward model was trained on them
        encoded: EncodedRows = context.rows["reward_model"]
    else:
        pairs = context.data.preferences
        if pairs is None:
            pairs = sample_preferences(context, context.networks().policy(sft))
        encoded = encoded_rows(context, "reward_model", pairs)
    return Rows(
        train=encoded.train,
        heldout=encoded.heldout,
        collate=partial(collate_pairs, fill=context.rendering.pad_id),
        tokens=tokens_of,
    )


def demonstrations_of(context: StageContext) -> Rows[Encoded] | None:
    """The demonstrations of an algorithm that learns from them, with the tokens that SFT would
    learn."""
    if "demonstrations" not in learns_from(context.cfg.algorithm):
        return None
    rows: Split[Any] | None = context.data.demonstrations
    if rows is None:
        raise DataError(f"algorithm={context.cfg.algorithm.name} needs data.demonstrations")
    encoded, settings = encoded_rows(context, "sft", rows), context.cfg.sft
    return Rows(
        train=encoded.train,
        heldout=encoded.heldout,
        collate=partial(
            collate_demonstrations,
            fill=context.rendering.pad_id,
            train_on_prompt=settings.train_on_prompt,
            turns=settings.train_on_turns,
        ),
        tokens=tokens_of,
    )
