"""Reads each position's distribution over the vocabulary, in blocks of rows.

Beside the logits a forward pass holds one block of float32 numbers, a backward pass one block and
the gradient, which may take the logits' place: never a copy of all logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

# bytes of a block in float32
BLOCK = 2**20  # what a core's cache holds
GPU_BLOCK = 2**25  # what keeps a GPU busy

Part = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class Read:
    """Numbers of each token, [B, T], in float32 (float64 where the logits are)."""

    logp: Tensor
    entropy: Tensor | None = None
    exact_kl: Tensor | None = None


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """logits / temperature. Raises ValueError unless temperature > 0."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    # a log-softmax over a vocabulary loses its digits in 16 bits
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return wide if temperature == 1.0 else wide / temperature


def read(
    logits: Tensor,
    tokens: Tensor,
    ref_logits: Tensor | None = None,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
    used_up: bool = False,
) -> Read:
    """log softmax(logits / temperature) at the tokens, and where asked for its entropy and its
    exact KL to the softmax of `ref_logits`: [B, T, V], [B, T] -> [B, T] each.

    Logits may have more positions than there are tokens: the last ones are not read, and their
    gradient is 0. Gradients with p = softmax, H its entropy, q the reference: d logp = onehot - p,
    d entropy = -p (log p + H), d KL = p (log p - log q - KL), for the reference's logits q - p.

    `used_up`: nobody reads the logits afterwards, so the backward pass writes their gradient over
    them, unless they are parameters or what made them needs them again. A second backward pass is
    refused by torch.
    """
    logp, entropies, kl = _apply(logits, ref_logits, tokens, temperature, entropy, used_up)
    return Read(logp=logp, entropy=entropies, exact_kl=kl)


def first(logits: Tensor, size: int) -> Tensor:
    """logits[..., :size] of [..., V], a view. Where the gradient was written over it (`used_up` of
    `read`) the whole's takes the place of the whole: no copy of [..., V] is made for the rest,
    whose gradient is 0."""
    part: Tensor = _First.apply(logits, size)  # type: ignore[no-untyped-call]
    return part


class _First(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, size: int) -> Tensor:
        # the storage itself: as a saved tensor it could not be read once it is written over
        ctx.storage = logits.untyped_storage() if ctx.needs_input_grad[0] else None
        ctx.where = logits.shape, logits.stride(), logits.storage_offset()
        return logits[..., :size]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        (shape, strides, offset), storage = ctx.where, ctx.storage
        ctx.storage = None
        here = (given.stride(), given.storage_offset()) == (strides, offset)
        start = 0 if storage is None else storage.data_ptr() + offset * given.element_size()
        if not here or given.data_ptr() != start:
            return torch.nn.functional.pad(given, (0, shape[-1] - given.shape[-1])), None
        whole = given.as_strided(shape, strides, offset)
        whole[..., given.shape[-1] :] = 0
        return whole, None


def entropy_of(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-sum_v p log p, p = softmax(logits / temperature), nats: [..., V] -> [...]."""
    entropies: Tensor = _apply(logits, None, None, temperature, True, False)[1]
    return entropies


def kl_of(logits: Tensor, ref_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """sum_v p (log p - log q), both softmaxes at the temperature, nats: [..., V] -> [...]."""
    kl: Tensor = _apply(logits, ref_logits, None, temperature, False, False)[2]
    return kl


def _apply(*arguments: Any) -> Any:
    return _Vocabulary.apply(*arguments)  # type: ignore[no-untyped-call]


class _Vocabulary(torch.autograd.Function):
    """(log-probability, entropy, exact KL), each where it is asked for. It keeps the logits that it
    was given, and of each token the log of the sum, and computes the rest again, block by block."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        ref_logits: Tensor | None,
        tokens: Tensor | None,
        temperature: float,
        with_entropy: bool,
        used_up: bool,
    ) -> tuple[Tensor | None, ...]:
        shape = logits.shape[:-1] if tokens is None else tokens.shape
        x, ref, ids = _lines(logits, 2), _lines(ref_logits, 2), _lines(tokens, 1)
        assert x is not None
        length = x.shape[1] if ids is None else ids.shape[1]
        wide = tempered(x[:0], temperature).dtype
        asked = (ids is not None, with_entropy, ref is not None)
        numbers = [x.new_empty((len(x), length), dtype=wide) if ask else None for ask in asked]
        log_sums = None if ids is None else x.new_empty((len(x), length), dtype=wide)
        for part in _blocks(x, length):
            block = tempered(x[part], temperature)
            if numbers[0] is not None and ids is not None and log_sums is not None:
                log_sums[part] = block.logsumexp(dim=-1)
                drawn = block.gather(-1, ids[part].unsqueeze(-1)).squeeze(-1)
                numbers[0][part] = drawn - log_sums[part]
            if numbers[1] is not None:
                numbers[1][part] = _entropy(block)
            if numbers[2] is not None and ref is not None:
                numbers[2][part] = _kl(block, tempered(ref[part], temperature))
        ctx.save_for_backward(logits, ref_logits, tokens, log_sums)
        ctx.temperature, ctx.length, ctx.used_up = (
            temperature,
            length,
            used_up and not _is_kept(logits),
        )
        ctx.set_materialize_grads(False)
        return tuple(None if n is None else n.view(shape) for n in numbers)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        logits, ref_logits, tokens, log_sums = ctx.saved_tensors
        x, ref, ids = _lines(logits, 2), _lines(ref_logits, 2), _lines(tokens, 1)
        of_logp, of_entropy, of_kl = (_lines(g, 1) for g in given)
        assert x is not None
        own = _gradient(logits, ctx.needs_input_grad[0], ctx.used_up)
        others = _gradient(ref_logits, ctx.needs_input_grad[1] and of_kl is not None)
        into, into_ref = _lines(own, 2), _lines(others, 2)
        for part in _blocks(x, ctx.length):
            block = tempered(x[part], ctx.temperature)
            sums = list[Tensor]()
            if of_kl is not None and ref is not None:
                other = tempered(ref[part], ctx.temperature)
                of_block, of_other = torch.autograd.grad(*_graph(_kl, of_kl[part], block, other))
                sums.append(of_block)
                if into_ref is not None:
                    into_ref[part] = tempered(of_other, ctx.temperature)
            if into is None:
                continue
            if of_entropy is not None:
                sums += torch.autograd.grad(*_graph(_entropy, of_entropy[part], block))
            if of_logp is not None and ids is not None and log_sums is not None:
                less = -of_logp[part].unsqueeze(-1)
                sums.append((block - log_sums[part].unsqueeze(-1)).exp_().mul_(less))
                at = ids[part].unsqueeze(-1)
                sums = [reduce(torch.add, sums).scatter_add_(-1, at, -less)]
            into[part] = tempered(reduce(torch.add, sums), ctx.temperature) if sums else 0
        for lines in (into, into_ref):
            if lines is not None:
                lines[:, ctx.length :] = 0
        return own, others, None, None, None, None


def _is_kept(x: Tensor) -> bool:
    """Whether somebody needs x after this: it is (a part of) a parameter, or what made it
    computes its gradient from what it gave, as tanh and softmax do."""
    wholes = [whole for whole in (x, x._base) if whole is not None]
    return any(whole.is_leaf or hasattr(whole.grad_fn, "_saved_result") for whole in wholes)


def _entropy(x: Tensor) -> Tensor:
    """A logit of -inf counts 0."""
    logp = x.log_softmax(dim=-1)
    return -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0)).sum(dim=-1)


def _kl(x: Tensor, ref: Tensor) -> Tensor:
    """A token that x excludes (logit -inf) counts 0."""
    logp, ref_logp = x.log_softmax(dim=-1), ref.log_softmax(dim=-1)
    ratio = torch.where(logp > -torch.inf, logp - ref_logp, 0.0)
    return (logp.exp() * ratio).sum(dim=-1)


def _graph(function: Any, given: Tensor, *blocks: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
    """The arguments of torch.autograd.grad for the function of one block."""
    with torch.enable_grad():
        leaves = [block.detach().requires_grad_() for block in blocks]
        return function(*leaves), leaves, given


def _gradient(x: Tensor | None, wanted: bool, in_place: bool = False) -> Tensor | None:
    if x is None or not wanted:
        return None
    return x.detach() if in_place else x.new_empty(x.shape)


def _lines(x: Tensor | None, kept: int) -> Tensor | None:
    """[..., T] or [..., T, V] as [B, T] or [B, T, V]: `kept` dimensions beside B."""
    if x is None:
        return None
    x = x[(None,) * max(0, kept - x.ndim)]
    lead = x.ndim - kept
    return x.reshape(math.prod(x.shape[:lead]), *x.shape[lead:])  # -1 is unknown where T is 0


def _blocks(x: Tensor, length: int) -> Iterator[Part]:
    """Parts of the first `length` rows of each line of x [B, T, V]: whole lines where they fit."""
    count, _, vocabulary = x.shape
    size = BLOCK if x.device.type == "cpu" else GPU_BLOCK
    rows = max(1, size // (4 * max(vocabulary, 1)))
    if rows >= length:
        lines = rows // max(length, 1)
        for start in range(0, count, lines):
            yield slice(start, start + lines), slice(0, length)
        return
    for line in range(count):
        for start in range(0, length, rows):
            yield slice(line, line + 1), slice(start, min(start + rows, length))
