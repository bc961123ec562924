"""The memory of a policy's training at its peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rlhf.estimates.memory import (
    BYTES,
    Network,
    Peak,
    Term,
    Training,
    at_peak,
    drawing,
    staying,
    total,
    updating,
)
from rlhf.estimates.passes import READ_LOGITS, Rows, activations, lengths, logits, reading
from rlhf.estimates.shape import ModelShape


def ppo(
    shape: ModelShape,
    networks: Sequence[Network],
    training: Training,
    *,
    update: Rows,
    drawn: Sequence[tuple[Rows, str]],
    values: bool,
    judged: bool,
    demonstrations: Rows | None = None,
    draws_older: bool = False,
) -> Peak:
    """`networks`: the policy first, then the value model where there is one (`values`), then what
    is frozen. `update`: the rows of an optimizer step. `drawn`: responses that are drawn at once,
    and the setting that says how many; those of the rollout before those of an evaluation.
    `demonstrations`: that a step learns beside. `draws_older`: a rollout may be drawn by an older
    policy."""
    how, passes = training.how, 2 if values else 1
    shrinks = ("ppo.micro_batch_size", *lengths(update))
    learns = replace(
        training, micro=update.at_most(training.micro).shared_by(training.logits).count
    )
    moments = updating(shape, networks, update, learns, shrinks, passes=passes, with_logits=True)
    if demonstrations is not None:
        moments[0] += beside(shape, demonstrations, learns)
    kept, put_aside = older(networks[0], training) if draws_older else ([], [])
    pack = update.pack(training.micro, how.on_gpu).shared_by(READ_LOGITS)
    views = logits(shape, pack, READ_LOGITS, how)
    moments.append([*put_aside, Term("logits of policy and reference", views, shrinks)])
    whole = float((networks[0].trained + networks[0].frozen) * how.precision.narrow)
    together = [Term("the policy put together to draw", whole)] if training.parts > 1 else []
    for rows, key in drawn:
        settings = ("generation.micro_batch_size", key, *lengths(rows))
        aside = put_aside if key == "ppo.rollout_size" else []
        moments.append([*aside, *together, *drawing(shape, rows, training, settings)])
        if judged:
            read = reading(shape, rows.pack(training.micro, how.on_gpu), how)
            shrinks = ("ppo.micro_batch_size", key, *lengths(rows))
            moments.append([*aside, Term("the reward model's reading", read, shrinks)])
    # as the artifacts have them
    in_files = not how.on_gpu and how.precision.weight == BYTES and training.parts == 1
    frozen = BYTES * total(networks, "frozen") if in_files else 0
    stays = [*staying(networks, training), *kept]
    return at_peak("ppo", stays, moments, mapped=float(frozen))


def beside(shape: ModelShape, demonstrations: Rows, training: Training) -> list[Term]:
    """What a second forward pass, on as many demonstrations, adds to that on responses: one
    backward pass goes through both."""
    rows = demonstrations.at_most(training.micro)
    again = () if training.how.checkpointing else ("trainer.gradient_checkpointing=true",)
    shrinks = ("ppo.micro_batch_size", "sft.max_length")
    return [
        Term(
            "activations of demonstrations",
            activations(shape, rows, training.how),
            (*again, *shrinks),
        ),
        Term(
            "logits of demonstrations", logits(shape, rows, training.logits, training.how), shrinks
        ),
    ]


def older(policy: Network, training: Training) -> tuple[list[Term], list[Term]]:
    """Of a policy that an older one draws for: the older one's weights, which stay in main memory,
    and its own, put aside meanwhile."""
    precision, less = training.how.precision, ("model/adapter=lora",)
    settings = less if training.how.adapted is None else ()
    of_older, own = (
        float(precision.weight * policy.trained / parts + BYTES * policy.added)
        for parts in (1, training.parts)
    )
    kept = [] if training.how.on_gpu else [Term("weights of the older policy", of_older, settings)]
    return kept, [Term("weights of the newer policy", own, settings)]
