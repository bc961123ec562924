"""The memory of each stage at its peak.

What stays, for N parameters of a network: weights, and where they are trained an optimizer's
moments (Adam's two, SGD's momentum one) in 32 bits; under bf16-true also the 32 bits behind each
weight. Adapters and heads are in 32 bits, whatever their network is.

On top comes the largest of what lives for a moment: a pass of the update (activations, logits, and
the gradients where several passes make a step), the step itself (gradients, and what the optimizer
takes beside them), reading and drawing (`rlhf.estimates.passes`).

Held against measured peaks (docs/records/memory.md, tests): right within 20 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from rlhf.estimates.passes import (
    DRAWN_LOGITS,
    HEAP,
    KEPT_LOGITS,
    Pass,
    Rows,
    activations,
    cache,
    lengths,
    logits,
    reading,
)
from rlhf.estimates.shape import ModelShape

FACTOR = 1.2  # that measured peaks were within
BYTES = 4
FROZEN = "weights that are frozen"
LIBRARIES = 500_000_000  # resident once torch, transformers and Lightning are loaded, on a CPU


@dataclass(frozen=True)
class Term:
    """A part of the memory, and the settings that shrink it."""

    name: str
    size: float  # bytes
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Peak:
    """A stage's memory when it is largest: what stays, and the largest of what comes and goes."""

    stage: str
    terms: tuple[Term, ...]
    mapped: float = 0.0  # bytes of the terms that jobs on one machine have in common

    @property
    def size(self) -> float:
        return sum(term.size for term in self.terms)

    def largest(self, count: int = 3) -> list[Term]:
        return sorted(self.terms, key=lambda term: -term.size)[:count]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network as a stage has it: how many of its weights are trained, how many are not, and
    numbers in 32 bits beside them (adapters, heads) that are trained, or only read."""

    trained: int = 0
    frozen: int = 0
    added: int = 0
    read: int = 0


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a stage trains."""

    how: Pass = field(default_factory=Pass)
    moments: float = 2.0  # numbers of 32 bits that an optimizer keeps for each parameter
    micro: int | None = None  # rows of a pass; None: those of the whole step
    reads: int | None = None  # responses that are drawn at once; None: all
    parts: int = 1  # of each network, of which a process has one (FSDP)
    logits: int = KEPT_LOGITS  # copies while training; of several a pass has so many rows fewer


def staying(networks: Sequence[Network], training: Training) -> list[Term]:
    """What lives from the first step to the last."""
    precision = training.how.precision
    trained, frozen = (total(networks, name) / training.parts for name in ("trained", "frozen"))
    added, read = total(networks, "added"), total(networks, "read")
    weight = precision.weight + precision.master
    adapters = [Term("adapters and heads that are trained", float(BYTES * added))] if added else []
    full = [Term("weights that are trained", float(weight * trained))] if trained else []
    moments = float(training.moments * BYTES * (trained + added))
    less = ("model/adapter=lora",) if trained and training.how.adapted is None else ()
    half = ("model.dtype=bfloat16",) if training.how.adapted and precision.weight == BYTES else ()
    kept = [Term(FROZEN, float(precision.weight * frozen), half)]
    others = [Term("adapters and heads that are frozen", float(BYTES * read))] if read else []
    optimizer = Term("the optimizer's moments", moments, less)
    return [*full, *adapters, optimizer, *(kept if frozen else ()), *others]


def total(networks: Sequence[Network], name: str) -> int:
    return sum(getattr(network, name) for network in networks)


def gradients(networks: Sequence[Network], training: Training) -> float:
    trained, added = total(networks, "trained") / training.parts, total(networks, "added")
    whole = float(training.how.precision.gradient * trained + BYTES * added)
    return whole * (1.0 if training.how.on_gpu else HEAP)


def updating(
    shape: ModelShape,
    networks: Sequence[Network],
    rows: Rows,
    training: Training,
    settings: tuple[str, ...],
    *,
    passes: int,
    with_logits: bool,
) -> list[list[Term]]:
    """The moments of an optimizer step: its last pass, and the step itself.

    Args:
        passes: through the layers that live at once.
        with_logits: the head over the vocabulary is read as well.
    """
    how, several = training.how, rows.at_most(training.micro).count < rows.count
    micro, whole = rows.at_most(training.micro), gradients(networks, training)
    embedding = shape.vocabulary * shape.hidden
    first = any(n.trained >= embedding for n in networks) and with_logits and how.layers is None
    # the backward pass begins with the head, whose gradient comes before activations go
    held = whole if several else how.precision.gradient * embedding * first / training.parts
    again = () if how.checkpointing else ("trainer.gradient_checkpointing=true",)
    read = sum(n.trained + n.frozen for n in networks[:passes]) / training.parts
    casts = float(how.precision.casts * read)
    a_pass = [
        Term("activations", passes * activations(shape, micro, how), (*again, *settings)),
        Term("gradients", held, ("model/adapter=lora",) if how.adapted is None else ()),
        Term("weights in 16 bits", casts),
    ]
    if with_logits:
        a_pass.append(Term("logits", logits(shape, micro, training.logits, how), settings))
    # one parameter at a time on a CPU; on a GPU all at once
    largest = embedding if any(n.trained >= embedding for n in networks) else 0
    beside = whole if how.on_gpu else 2.0 * BYTES * largest / training.parts
    step = [Term("gradients", whole), Term("the optimizer's step", beside)]
    return [[term for term in terms if term.size] for terms in (a_pass, step)]


def drawing(
    shape: ModelShape, rows: Rows, training: Training, settings: tuple[str, ...]
) -> list[Term]:
    """Responses that are drawn, `training.reads` at once."""
    part = rows.at_most(training.reads)
    one_token = Rows(count=part.count, tokens=part.tokens, response=1)
    of_token = logits(shape, one_token, DRAWN_LOGITS, training.how)
    of_token += BYTES * (rows.count - part.count) * shape.vocabulary  # draws are of all rows
    return [
        Term("keys and values", cache(shape, part, training.how), settings),
        Term("logits of a token", of_token, settings),
    ]


def sft(shape: ModelShape, network: Network, rows: Rows, training: Training) -> Peak:
    shrinks = ("sft.micro_batch_size", "sft.batch_size", "sft.max_length")
    moments = updating(shape, [network], rows, training, shrinks, passes=1, with_logits=True)
    return at_peak("sft", staying([network], training), moments)


def reward_model(
    shape: ModelShape,
    network: Network,
    pairs: Rows,
    drawn: Rows | None,
    training: Training,
    *,
    policy: int,
) -> Peak:
    """`pairs`: of which both texts are read at once. `drawn`: responses that are drawn to
    normalise; None where there are none. `policy`: parameters of the network that draws them, 0
    where it is this one."""
    sizes = ("micro_batch_size", "batch_size", "max_length")
    shrinks = tuple(f"reward_model.{name}" for name in sizes)
    both = Rows(count=2 * pairs.count, tokens=pairs.tokens, response=0, mean=pairs.mean)
    twice = replace(training, micro=None if training.micro is None else 2 * training.micro)
    moments = updating(shape, [network], both, twice, shrinks, passes=1, with_logits=False)
    if training.how.layers == 0:  # a head, on states that are read once
        once = Term("reading whole texts", reading(shape, pairs, training.how), shrinks)
        moments = [[once]]
    if drawn is not None:
        bytes_ = float(training.how.precision.weight * policy)
        other = [Term("weights of the policy that draws", bytes_)] if policy else []
        part = drawn.pack(training.micro, training.how.on_gpu)
        read = Term(
            "reading whole responses",
            reading(shape, part, training.how),
            ("reward_model.micro_batch_size", *lengths(drawn)),
        )
        settings = ("generation.micro_batch_size", *lengths(drawn))
        moments += [[*other, *drawing(shape, drawn, training, settings)], [*other, read]]
    return at_peak("reward_model", staying([network], training), moments)


def at_peak(
    stage: str, stays: Iterable[Term], moments: Sequence[list[Term]], mapped: float = 0.0
) -> Peak:
    """Of moments, which are not at the same time, that which takes most."""
    largest = max(moments, key=lambda terms: sum(term.size for term in terms))
    return Peak(stage=stage, terms=(*stays, *largest), mapped=mapped)
