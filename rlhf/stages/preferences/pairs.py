"""The preference pairs that a run learns from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from rlhf.annotators.label import label, label_anew
from rlhf.config.naming import is_unused
from rlhf.data.conversations import Prompt
from rlhf.data.labelling import Response, label_pairs
from rlhf.data.records import DataError, Preference, Split
from rlhf.models.networks import Policy
from rlhf.randomness import derive_seed
from rlhf.rollout.engines.base import decode
from rlhf.rundir.errors import RunFailed
from rlhf.stages.context import StageContext
from rlhf.stages.preferences.annotator import annotator_of
from rlhf.stages.preferences.sampled import sample_responses

log = logging.getLogger(__name__)

ANEW = "preferences"  # of a context's rows: those that were labelled anew, once a run


def preferences_of(context: StageContext, policy: Callable[[], Policy]) -> Split[Preference]:
    """The data's own pairs, with the annotator's labels where `labels=annotator`; where it has none
    those that are sampled from the SFT policy.

    Args:
        policy: loads the SFT policy.
    """
    pairs = context.data.preferences
    if pairs is None:
        return sample_preferences(context, policy())
    if context.cfg.labels == "data":
        return pairs
    if ANEW not in context.rows:
        context.rows.pop("reward_model", None)  # encoded with the labels of the data
        context.rows[ANEW] = relabelled(context, pairs)
    anew: Split[Preference] = context.rows[ANEW]
    return anew


def relabelled(context: StageContext, pairs: Split[Preference]) -> Split[Preference]:
    """The same pairs with the labels of the run's annotator, drawn by `data.seed`: the same ones
    for every stage and every seed of one."""
    annotator, seed = annotator_of(context), getattr(context.cfg.data, "seed", 0)
    train, heldout = (
        label_anew(annotator, rows, seed=derive_seed(seed, "labels", side))
        for side, rows in (("train", pairs.train), ("heldout", pairs.heldout))
    )
    apart = [
        pair
        for pair in pairs.train
        if (pair.chosen, pair.chosen_ended) != (pair.rejected, pair.rejected_ended)
    ]
    kept = sum(new.chosen == old.chosen for new, old in zip(train, apart, strict=True))
    log.info(
        "annotator=%s has labelled the data's pairs: of %d to train on %d keep their label",
        *(context.cfg.annotator.name, len(train), kept),
    )
    return Split(train=train, heldout=heldout)


def sample_preferences(context: StageContext, policy: Policy) -> Split[Preference]:
    """Two responses of the SFT policy to each prompt, labelled by the run's annotator: where none
    is chosen by gold, as the data's own pairs would be.

    Raises:
        RunFailed: the annotator tells no pair apart.
    """
    count, prompts = context.source.pairs, context.fitted.prompts
    train = _labelled(context, policy, count, "train", prompts.train)
    if not train:
        raise RunFailed(
            f"reward_model: to annotator={context.cfg.annotator.name} both responses of all"
            f" {count} pairs are the same, so none is preferred: raise data.pairs, or train SFT"
            " longer"
        )
    heldout = _labelled(context, policy, max(1, count // 10), "heldout", prompts.heldout)
    return Split(train=train, heldout=heldout)


def _labelled(
    context: StageContext, policy: Policy, count: int, side: str, prompts: Sequence[Prompt]
) -> tuple[Preference, ...]:
    by_gold = is_unused("annotator", context.plain["annotator"])
    gold, temperature = context.source.gold, context.source.label_temperature
    if by_gold and gold is None:
        raise DataError(
            "there are no preferences and no gold reward to label sampled pairs by: set"
            " data.preferences or data.gold, or choose another annotator"
        )
    annotator = None if by_gold else annotator_of(context)
    sampled = [
        sample_responses(context, policy, count, f"pairs-{side}-{which}", prompts) for which in "ab"
    ]
    first, second = (
        [
            Response(*pair)
            for part in parts
            for pair in zip(
                decode(part, context.tokenizer, context.stops), part.ended.tolist(), strict=True
            )
        ]
        for parts in sampled
    )
    drawn = [prompt for part in sampled[0] for prompt in part.prompt.prompts]
    seed = derive_seed(context.cfg.reward_model.seed, "reward_model", "labels", side)
    if annotator is not None:
        return label(annotator, drawn, first, second, seed=seed, ties=False)
    assert gold is not None
    turns = [prompt.turns for prompt in drawn]
    return label_pairs(turns, first, second, gold, temperature=temperature, seed=seed, ties=False)
