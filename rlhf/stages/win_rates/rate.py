"""The win rate of a run's evaluations: its annotator beside the baseline's answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from rlhf.annotators.base import Annotator, Answer, Comparison
from rlhf.annotators.win_rates.measure import win_rate_metrics
from rlhf.data.conversations import Turns
from rlhf.metrics import KL
from rlhf.metrics.win_rates import WIN_RATE
from rlhf.models.scalar import Scalar
from rlhf.ranks.group import Ranks
from rlhf.rollout.score import Responses
from rlhf.stages.context import StageContext
from rlhf.stages.preferences.annotator import annotator_files, annotator_of
from rlhf.stages.win_rates.baseline import baseline_answers, reference_answers


def win_rate_of(context: StageContext, sft: Path, reward_model: Scalar | None) -> WinRateOf | None:
    """What gives an evaluation its win rate; None where the config asks for none.

    Args:
        reward_model: the run's, where it has one; it lies on the run's device when it is asked.

    Raises:
        DataError: the annotator or the baseline needs what the run does not have.
    """
    if context.cfg.evaluation.win_rate is None:
        return None
    return WinRateOf(
        annotator=annotator_of(context, reward_model), baseline=baseline_answers(context, sft)
    )


@dataclass(frozen=True, kw_only=True)
class WinRateOf:
    """Metrics of responses beside the baseline's answers to the same prompts."""

    annotator: Annotator
    baseline: Sequence[Answer]

    def __call__(self, responses: Responses, ranks: Ranks, where: str) -> dict[str, float]:
        """`win_rate` and its kin, on every rank. An annotator elsewhere is asked by the first
        rank alone."""
        compared = comparisons(responses, self.baseline)
        measure = partial(win_rate_metrics, self.annotator, compared, where)
        return ranks.from_first(measure) if is_remote(self.annotator) else measure()


def is_remote(annotator: Any) -> bool:
    """Whether an annotator, or a member of a pool, is asked over a network."""
    members = getattr(annotator, "members", {}).values()
    return getattr(annotator, "remote", False) or any(map(is_remote, members))


def comparisons(responses: Responses, baseline: Sequence[Answer]) -> list[Comparison]:
    """Each response beside the baseline's answer to its prompt, of several the next one in turn;
    responses to prompts that the baseline has none for are left out."""
    by_prompt: dict[Turns, list[Answer]] = defaultdict(list)
    for answer in baseline:
        by_prompt[answer.prompt.turns].append(answer)
    turns = {prompt: cycle(answers) for prompt, answers in by_prompt.items()}
    rows = zip(
        responses.rollout.prompt.prompts,
        responses.texts,
        responses.rollout.ended.tolist(),
        strict=True,
    )
    return [
        Comparison(
            prompt=prompt,
            first=text,
            second=(other := next(turns[prompt.turns])).text,
            first_ended=ended,
            second_ended=other.ended,
        )
        for prompt, text, ended in rows
        if prompt.turns in turns
    ]


def fingerprint_part(context: StageContext) -> dict[str, Any]:
    """What decides the win rates beside the settings of the evaluation: the annotator. Nothing
    where there are none: such runs keep their fingerprints."""
    if context.cfg.evaluation.win_rate is None:
        return {}
    return {"win_rate_by": context.deciding("annotator"), **annotator_files(context)}


def left_out(context: StageContext) -> str | None:
    """A sentence for held-out prompts that are in no win rate, as the data has no answer to them;
    None where there are none.

    Raises:
        DataError: the data has an answer to none of them.
    """
    if context.cfg.evaluation.win_rate != "reference":
        return None
    have, asked = len(reference_answers(context)), context.cfg.evaluation.prompts
    if have == asked:
        return None
    return (
        f"evaluation.win_rate=reference: {asked - have} of the {asked} prompts of an evaluation"
        " have no reference answer and are in no win rate"
    )


def missing(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences for a run's summary: evaluations of a run with win rates that have none, and
    questions that the annotator gave no verdict to."""
    evaluated = [record for record in records if f"eval/{KL}" in record]
    without = [r["iteration"] for r in evaluated if f"eval/{WIN_RATE}" not in r]
    lost = [r for r in evaluated if r.get(f"eval/{WIN_RATE}/unanswered", 0) > 0]
    sentences = []
    if without:
        sentences.append(
            f"{len(without)} of {len(evaluated)} evaluations have no win rate, as the annotator"
            f" could not be reached (iterations {', '.join(map(str, without))})"
        )
    if lost:
        most = max(r[f"eval/{WIN_RATE}/unanswered"] for r in lost)
        sentences.append(
            f"up to {most:.1%} of an evaluation's questions had no verdict and count as ties, in"
            f" {len(lost)} of {len(evaluated)} evaluations (win_rate/unanswered)"
        )
    return sentences
