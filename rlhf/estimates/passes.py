"""What lives for a moment while a network reads or learns, in bytes.

Of r rows of L tokens a layer keeps for the backward pass, in numbers a token (h hidden, a the
queries over all heads, i the MLP's inner size; counted by torch's saved-tensor hooks):

    norms       4 h wide: of both the input and what it is divided to; a fused LayerNorm has 2 h
    inputs      2 h of linear layers, behind the norms; under autocast 5 h, each layer's own copy
    attention   4 a: queries, keys and values at the queries' width, the result. eager: also the
                weights, heads L wide
    MLP         4 i: gate, its SiLU, up, their product; GPT-2's, which has no gate, 5 i

"Wide" numbers have 32 bits in every precision, others 16 where it is bf16. Weights that are frozen
beside adapters need neither what a norm divided (2 h less) nor the inputs of layers that have no
adapter. Checkpointing keeps a layer's input, h, and one layer's numbers at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlhf.at_once import GPU_PACK, PACK
from rlhf.estimates.shape import ModelShape

KEPT_LOGITS = 1  # copies [r, T, V] while training: their gradient takes the head's place
READ_LOGITS = 2  # the policy's and the reference's
DRAWN_LOGITS = 5  # of one token, while it is drawn
# of memory that comes and goes, what glibc's heap takes: blocks below 32 MiB leave holes between
# rows of other lengths; larger ones are given back
HEAP, LARGEST_IN_HEAP = 1.25, 2.0**25
# the same where adapters are trained: their many small tensors, which stay, stand between the holes
HEAP_BESIDE_ADAPTERS = 2.0


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What goes through a model at once: rows, the tokens of the longest, those of its response,
    and the tokens of a row on average, where they are known."""

    count: int
    tokens: int
    response: int
    mean: float | None = None

    @property
    def all_tokens(self) -> float:
        """Real ones. Of random rows the sum may be beyond count * mean by some standard deviations
        of sqrt(count) rows, each of which is below longest - mean."""
        if self.mean is None:
            return float(self.count * self.tokens)
        beyond: float = (self.tokens - self.mean) * self.count**0.5
        return self.count * self.mean + beyond

    def at_most(self, count: int | None) -> Rows:
        """Those of a micro-batch."""
        kept = self.count if count is None else min(self.count, count)
        return replace(self, count=kept)

    def pack(self, count: int | None, on_gpu: bool) -> Rows:
        """Those that are scored at once: as many as a micro-batch has, or of one pack; the longest,
        as rows of like length go together."""
        tokens = GPU_PACK if on_gpu else PACK
        rows = self.at_most(max(1, tokens // self.tokens) if count is None else count)
        return replace(rows, mean=None)

    def shared_by(self, networks: int) -> Rows:
        """Those that several networks read in place of these, so that their logits together are not
        more than one's; one at least."""
        return self.at_most(max(1, self.count // networks))

    def share(self, ranks: int) -> Rows:
        """Those of one of the processes that share them."""
        return self.at_most(-(-self.count // ranks))


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Bytes of a number, by what it is."""

    weight: float = 4.0
    master: int = 0  # the 32 bits behind a weight of 16 that is trained
    gradient: int = 4
    narrow: int = 4  # of activations that may have 16 bits
    casts: int = 0  # of a trained weight under autocast, which casts it once a step
    logits: int = 4

    @property
    def is_half(self) -> bool:
        return self.narrow < 4


PRECISIONS = {
    "32-true": Precision(),
    "bf16-mixed": Precision(narrow=2, casts=2),
    "bf16-true": Precision(weight=2, master=4, narrow=2),
}


@dataclass(frozen=True, kw_only=True)
class Pass:
    """How a network reads: of all its layers, or only through the last of them are gradients
    needed; what of its layers is trained."""

    precision: Precision = PRECISIONS["32-true"]
    layers: int | None = None  # trained of the last; None: all
    adapted: frozenset[str] | None = None  # names of the layers with adapters; None: all trained
    eager: bool = False
    checkpointing: bool = False
    on_gpu: bool = False


def layer_bytes(shape: ModelShape, tokens: int, how: Pass) -> float:
    """Bytes that one layer keeps of one token of a row of so many."""
    h, a, i, adapted = shape.hidden, shape.heads * shape.head_size, shape.inner, how.adapted
    wide, inputs = (4.0 if shape.gated else 2.0) * h, 2.0 * h
    inner = (4.0 if shape.gated else 5.0) * i
    if how.precision.casts:
        inputs = 5.0 * h
    if adapted is not None:
        wide -= 2.0 * h if shape.gated else 0.0
        behind_norms = (adapted & {"q", "k", "v"}, adapted & {"gate", "up"})
        inputs = float(h) * sum(map(bool, behind_norms))
        inner -= 0.0 if "down" in adapted else float(i)
    narrow = inputs + 4.0 * a + inner
    if adapted is not None and how.precision.is_half:  # each adapter reads a copy of 32 bits
        wide += sum(width(shape, name) for name in adapted)
    if how.eager:
        wide += float(shape.heads * tokens)
    return 4.0 * wide + how.precision.narrow * narrow


def width(shape: ModelShape, name: str) -> int:
    """Numbers that the linear layer of this name reads."""
    return {"o": shape.heads * shape.head_size, "down": shape.inner}.get(name, shape.hidden)


def activations(shape: ModelShape, rows: Rows, how: Pass) -> float:
    """Bytes that one differentiated forward pass keeps, and what a layer's backward pass adds."""
    layers = shape.layers if how.layers is None else min(how.layers, shape.layers)
    a_token = layer_bytes(shape, rows.tokens, how)
    kept = layers * (4.0 * shape.hidden if how.checkpointing else a_token)
    kept += a_token if how.checkpointing else 0.0
    going_back = how.precision.narrow * (2.0 * shape.inner + 2.0 * shape.hidden)
    whole = rows.all_tokens * (kept + (going_back if layers else 0.0))
    block = rows.all_tokens * how.precision.narrow * shape.inner
    if how.on_gpu or block >= LARGEST_IN_HEAP:
        return whole
    return whole * (HEAP if how.adapted is None else HEAP_BESIDE_ADAPTERS)


def logits(shape: ModelShape, rows: Rows, copies: int, how: Pass) -> float:
    positions = min(rows.all_tokens, rows.count * rows.response)
    return float(how.precision.logits * copies * positions * shape.vocabulary)


def cache(shape: ModelShape, rows: Rows, how: Pass) -> float:
    """Bytes of keys and values, each row's as long as the longest's, and of one layer's while rows
    that have ended leave it."""
    numbers = rows.count * rows.tokens * (shape.layers + 1) * shape.kv_width
    return float(how.precision.narrow * numbers)


def reading(shape: ModelShape, rows: Rows, how: Pass) -> float:
    """Bytes of one layer while it is read without gradients."""
    a_token = 4 * shape.hidden + 3 * shape.inner
    scores = shape.heads * rows.tokens if how.eager else 0
    return float(rows.all_tokens * (how.precision.narrow * a_token + 4 * scores))


def lengths(rows: Rows) -> tuple[str, ...]:
    """The settings that limit the tokens of a row: a prompt's where it is the longer part."""
    response = "data.max_response_tokens"
    prompt_is_longer = rows.tokens > 2 * rows.response
    return ("generation.max_prompt_tokens", response) if prompt_is_longer else (response,)
