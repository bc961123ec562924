"""The run's annotator with what it judges by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rlhf.annotators.base import Annotator, Answer, Live, bound
from rlhf.config.build import build
from rlhf.config.naming import is_unused
from rlhf.data.collate import encode_row, pad, unended
from rlhf.data.conversations import ASSISTANT, Turn
from rlhf.data.lengths import Limit
from rlhf.models.scalar import Scalar, scores
from rlhf.stages.context import StageContext
from rlhf.stages.rows import at_once


def annotator_of(context: StageContext, reward_model: Scalar | None = None) -> Annotator:
    """The run's annotator.

    Args:
        reward_model: the run's, where it has one by now; it lies on the run's device.

    Raises:
        DataError: the annotator needs what the run does not have.
    """
    return bound(built(context), live_of(context, reward_model))


def built(context: StageContext) -> Any:
    """The run's annotator without what it judges by; built once, so that its limits are those of
    all that it is asked, and its model is read once."""
    if not context.annotators:
        context.annotators.append(build(context.cfg.annotator))
    return context.annotators[0]


def annotator_files(context: StageContext) -> dict[str, Any]:
    """What decides the annotator's answers beside its settings; nothing where nothing does."""
    identity = getattr(built(context), "identity", lambda: None)()
    return {} if identity is None else {"annotator_files": identity}


def live_of(context: StageContext, reward_model: Scalar | None = None) -> Live:
    """What annotators can judge by."""
    read = None if reward_model is None else reader(context, reward_model)
    return Live(
        gold=context.source.gold,
        label_temperature=context.source.label_temperature,
        reward_model=read,
        device=torch.device(context.device),
    )


def reader(context: StageContext, model: Scalar) -> Callable[[Sequence[Answer]], Tensor]:
    """What gives a reward model's scores of answers, [N] on the CPU."""
    return partial(score_answers, context, model)


@torch.no_grad()
def score_answers(context: StageContext, model: Scalar, answers: Sequence[Answer]) -> Tensor:
    """[N] on the CPU: the reward model's score of each answer, written by the run's template; of
    one that is longer than what the run's models read the prompt loses its beginning."""
    rendering, most = context.rendering, context.positions
    limit = Limit(most=2**31 if most is None else most, rule="truncate_left")
    rows = rendering.conversations(
        [(*each.prompt.turns, Turn(ASSISTANT, each.text)) for each in answers]
    )
    whole = [row if each.ended else unended(row) for row, each in zip(rows, answers, strict=True)]
    bos = rendering.tokenizer.bos_token_id
    ids = [encode_row([row], limit, bos)[0].ids for row in whole]
    tokens, mask = (each.to(context.device) for each in pad(ids, rendering.pad_id))
    return scores(model, tokens, mask, at_once(context.cfg.reward_model)).cpu()


def labels_by_annotator(context: StageContext) -> bool:
    """True if the run's annotator labels its preference pairs: sampled ones, or all of them."""
    return context.data.preferences is None or context.cfg.labels == "annotator"


def annotator_part(context: StageContext) -> dict[str, Any]:
    """What decides the labels of pairs beside the pairs themselves. Nothing where they are the
    data's own, or those of sampled pairs by gold as the data says: such runs keep the fingerprints
    that they had before there were annotators."""
    if not labels_by_annotator(context):
        return {}
    sampled = context.data.preferences is None
    if sampled and is_unused("annotator", context.plain["annotator"]):
        return {}
    return {
        "annotator": context.deciding("annotator"),
        **annotator_files(context),
        # the gold reward, by the source's settings; of sampled pairs `pairs` has them
        **({} if sampled else {"labels": context.deciding("data", without=("path",))}),
    }
