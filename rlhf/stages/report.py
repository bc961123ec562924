"""The report on a run's data, with the run's own tokenizer, rendering and limits."""

from __future__ import annotations

from typing import Any

from rlhf.config.properties import is_trained, needed_stages, parts_of
from rlhf.config.stages import Stage
from rlhf.data.lengths import MAX_LOST
from rlhf.data.records import Split
from rlhf.data.report.baselines import length_bias, with_tfidf
from rlhf.data.report.measure import Measured, count_limit, count_part, prompts_in_common, sample
from rlhf.data.report.values import Limited, Report
from rlhf.stages.inputs import Inputs
from rlhf.stages.rows import ENCODE, ROWS_OF, limit_of, row_place, sides

REPORT = "data_report.json"
MOST_MEASURED, MOST_IN_A_RUN = 20_000, 2_000  # rows of a part whose tokens are counted
PARTS = ("demonstrations", "preferences", "prompts")


def data_report(context: Inputs, *, thorough: bool = False) -> Report:
    """Counts what is in the data and what the limits of the run's stages do to it; tokens
    of the parts that those read.

    Args:
        thorough: count the tokens of ten times as many rows, and fit the linear rule on words.

    Raises:
        DataError: the template refuses a row.
    """
    parts = {name: rows for name in PARTS if (rows := getattr(context.data, name)) is not None}
    most = MOST_MEASURED if thorough else MOST_IN_A_RUN
    stages = [stage.name for stage in trained_stages(context)]
    read = {part for stage in stages for part in parts_of(context.cfg, stage)}
    measured = {
        name: _measure(context, name, rows, most) if name in read else []
        for name, rows in parts.items()
    }
    pairs = length_bias(parts["preferences"]) if "preferences" in parts else None
    if pairs is not None and thorough:
        pairs = with_tfidf(pairs, parts["preferences"])
    both, shared = prompts_in_common(parts)
    return Report(
        data=context.cfg.data.name,
        template=context.rendering.template.name,
        parts=tuple(
            count_part(name, rows, measured[name], row_place(context, name))
            for name, rows in parts.items()
        ),
        limits=tuple(_limits(context, measured)),
        both_sides=both,
        shared=shared,
        pairs=pairs,
        max_lost=max_lost(context),
        positions=context.positions,
    )


def trained_stages(context: Inputs) -> list[Stage]:
    """Of the stages that the run goes through those that learn from rows: others are there."""
    cfg = context.cfg
    return [stage for stage in needed_stages(cfg) if is_trained(cfg, stage.name)]


def max_lost(context: Inputs) -> float:
    return float(getattr(context.source, "max_lost", MAX_LOST))


def _measure(context: Inputs, part: str, split: Split[Any], most: int) -> list[Measured]:
    """The tokens of at most `most` rows, and what becomes of them at their limit."""
    rows = sample([*split.train, *split.heldout], most)
    if part == "prompts":
        limit, rule = context.prompt_limit.most, context.long_prompts(part).rule
        lost = "truncated" if rule == "truncate_left" else "dropped"
        lengths = context.prompt_lengths([prompt.turns for prompt in rows])
        return [
            Measured(
                prompt=length,
                sequences=(length,),
                fate="whole" if limit is None or length <= limit else lost,
            )
            for length in lengths
        ]
    stage = ROWS_OF[part]
    encode = ENCODE[stage][1]
    return [
        Measured(
            prompt=sides(row)[0].whole_prompt,
            sequences=tuple(side.whole for side in sides(row)),
            fate=row.fate,
            same=getattr(row, "same", False),
        )
        for row in encode(context.rendering, rows, limit_of(context, stage))
    ]


def _limits(context: Inputs, measured: dict[str, list[Measured]]) -> list[Limited]:
    """Of the stages that the run goes through, each with its own rows."""
    limits = []
    for stage in (stage.name for stage in trained_stages(context)):
        parts = (ENCODE[stage][0],) if stage in ENCODE else parts_of(context.cfg, stage)
        for part in (part for part in parts if measured.get(part)):
            limit, rule, words = _bound(context, part)
            limits.append(
                count_limit(
                    stage,
                    part,
                    measured[part],
                    bound=words,
                    limit=limit,
                    rule=rule,
                    max_lost=max_lost(context),
                )
            )
    return limits


def _bound(context: Inputs, part: str) -> tuple[int | None, str, str]:
    """The most tokens of a row of a part, the rule for longer ones, and the setting in words."""
    if part == "prompts":
        bound = context.prompt_limit
        return bound.most, context.long_prompts(part).rule, bound.words
    settings = getattr(context.cfg, ROWS_OF[part])
    return (
        settings.max_length,
        settings.on_long,
        f"{ROWS_OF[part]}.max_length={settings.max_length}",
    )
