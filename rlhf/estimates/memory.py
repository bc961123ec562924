"""The memory of each stage at its peak.

Float32 weights W = 4 N bytes. What is trained has also a gradient (W) and Adam's two moments (2 W);
SGD's momentum is one. What is frozen has W alone. On top comes the largest of what lives for a
moment, for r rows of L tokens each, T of them the response, V the vocabulary:

    activations   of a forward pass that is differentiated: 4 r L layers (12 h + 4 i) bytes, kept
                  until the backward pass. 12 h: two norms (input, as float32, normed), query, key
                  and value before and after rotation, the attention's result, two residuals. 4 i:
                  gate, its SiLU, up, their product; an MLP without a gate keeps 8 i
    logits        4 r T V bytes a copy. Training has 4 copies: the head's, over the temperature,
                  log-softmax's own, the gradient. Reading policy beside reference with the exact KL
                  and the entropy has 8
    cache         of keys and values while r responses are drawn: 4 r L layers kv_width bytes

Checked against measured peaks (docs/gpu.md, tests): right within a factor of 1.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.estimates.shape import ModelShape

FACTOR = 1.5  # that measured peaks were within
BYTES = 4
TRAINING_COPIES, READING_COPIES, DRAWING_COPIES = 4, 8, 5
HALF = 0.75  # of the activations, where bf16-mixed keeps a part of them in 16 bits (docs/gpu.md)
LIBRARIES = 800_000_000  # resident once torch, transformers and Lightning are loaded, on a CPU


@dataclass(frozen=True)
class Term:
    """A part of the memory, and the settings that shrink it."""

    name: str
    size: float  # bytes
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What goes through a model at once: rows, their tokens, those of the response."""

    count: int
    tokens: int
    response: int


@dataclass(frozen=True, kw_only=True)
class Peak:
    """A stage's memory when it is largest: what stays, and the largest of what comes and goes."""

    stage: str
    terms: tuple[Term, ...]

    @property
    def size(self) -> float:
        return sum(term.size for term in self.terms)

    def largest(self, count: int = 3) -> list[Term]:
        return sorted(self.terms, key=lambda term: -term.size)[:count]


def activations(
    shape: ModelShape, rows: Rows, half: bool = False, layers: int | None = None
) -> float:
    """Bytes that one differentiated forward pass keeps. `layers`: of the last so many alone."""
    count = shape.layers if layers is None else min(layers, shape.layers)
    a_token = count * (12 * shape.hidden + (4 if shape.gated else 8) * shape.inner)
    return BYTES * rows.count * rows.tokens * a_token * (HALF if half else 1.0)


def logits(shape: ModelShape, rows: Rows, copies: int) -> float:
    return BYTES * copies * rows.count * rows.response * shape.vocabulary


def cache(shape: ModelShape, rows: Rows) -> float:
    """Bytes of keys and values."""
    return BYTES * rows.count * rows.tokens * shape.layers * shape.kv_width


def reading(shape: ModelShape, rows: Rows) -> float:
    """Bytes of one layer while it is read without gradients: what a scalar head reads of a whole
    rollout."""
    return BYTES * rows.count * rows.tokens * (4 * shape.hidden + 3 * shape.inner)


def trained(parameters: Sequence[int], moments: int) -> list[Term]:
    """Of networks that are trained: weights, gradients, the optimizer's state."""
    weights = float(BYTES * sum(parameters))
    return [
        Term("weights that are trained", weights),
        Term("gradients", weights),
        Term("the optimizer's moments", moments * weights),
    ]


def partly_trained(parameters: int, learned: int, moments: int) -> list[Term]:
    """Of a network of which `learned` parameters are trained, and the others stay as they are."""
    frozen = [Term("weights that are frozen", float(BYTES * (parameters - learned)))]
    return [*trained([learned], moments), *(frozen if learned < parameters else ())]


def sft(
    shape: ModelShape, rows: Rows, *, moments: int, half: bool = False, layers: int | None = None
) -> Peak:
    """`layers`: how many of the last are trained, with the head; None: the whole network."""
    shrinks = ("sft.batch_size", "sft.max_length")
    head = shape.parameters - shape.backbone
    learned = shape.parameters if layers is None else shape.last(layers) + head
    return Peak(
        stage="sft",
        terms=(
            *partly_trained(shape.parameters, learned, moments),
            Term("activations", activations(shape, rows, half, layers), shrinks),
            Term("logits", logits(shape, rows, TRAINING_COPIES), shrinks),
        ),
    )


def reward_model(
    shape: ModelShape,
    pairs: Rows,
    drawn: Rows | None,
    *,
    moments: int,
    half: bool = False,
    layers: int | None = None,
) -> Peak:
    """`pairs`: of which both texts are read at once. `drawn`: responses that are drawn to
    normalise, beside a policy of its own; None where there are none. `layers`: how many of the last
    are trained, 0 for the head alone, which reads a frozen backbone's states; None: all."""
    both = Rows(count=2 * pairs.count, tokens=pairs.tokens, response=0)
    shrinks = ("reward_model.batch_size", "reward_model.max_length")
    learned = shape.backbone if layers is None else shape.last(layers)
    update = [Term("activations", activations(shape, both, half, layers), shrinks)]
    if layers == 0:
        update = [Term("reading whole texts", reading(shape, pairs), shrinks)]
    draw = []
    if drawn is not None:
        draw = [
            Term("weights of the policy that draws", BYTES * shape.parameters),
            Term("keys and values", cache(shape, drawn), lengths(drawn)),
            Term("reading whole responses", reading(shape, drawn), lengths(drawn)),
        ]
    return Peak(
        stage="reward_model",
        terms=(
            *partly_trained(shape.backbone, learned, moments),
            *_largest(update, draw),
        ),
    )


def ppo(
    shape: ModelShape,
    *,
    update: Rows,
    rollout: Rows,
    evaluation: Rows,
    references: int,
    reward_models: int,
    value_model: bool,
    moments: int,
    half: bool = False,
) -> Peak:
    """`update`: of a forward pass of the update. `rollout`, `evaluation`: drawn, and read by the
    reward models, at once. `references`: frozen policies, the start among them."""
    networks = [shape.parameters, *([shape.backbone] if value_model else [])]
    frozen = references * shape.parameters + reward_models * shape.backbone
    passes = ("ppo.micro_batch_size", *lengths(update))
    drawn, key = max(
        ((rollout, "ppo.rollout_size"), (evaluation, "evaluation.prompts")),
        key=lambda pair: pair[0].count * pair[0].tokens,
    )
    one_token = Rows(count=drawn.count, tokens=drawn.tokens, response=1)
    moment = _largest(
        [
            Term("activations", len(networks) * activations(shape, update, half), passes),
            Term("logits", logits(shape, update, TRAINING_COPIES), passes),
        ],
        [Term("logits of policy and reference", logits(shape, update, READING_COPIES), passes)],
        [
            Term("keys and values", cache(shape, drawn), (key, *lengths(drawn))),
            Term("logits of a token", logits(shape, one_token, DRAWING_COPIES), (key,)),
        ],
        [Term("the reward model's reading", reading(shape, drawn), (key,))]
        if reward_models
        else [],
    )
    return Peak(
        stage="ppo",
        terms=(
            *trained(networks, moments),
            Term("weights that are frozen", float(BYTES * frozen)),
            *moment,
        ),
    )


def lengths(rows: Rows) -> tuple[str, ...]:
    """The settings that limit the tokens of a row: a prompt's where it is the longer part."""
    response = "data.max_response_tokens"
    prompt_is_longer = rows.tokens > 2 * rows.response
    return ("generation.max_prompt_tokens", response) if prompt_is_longer else (response,)


def _largest(*moments: list[Term]) -> list[Term]:
    """Of what does not live at the same time, that which takes most."""
    return max(moments, key=lambda terms: sum(term.size for term in terms))
