"""A decoding step of fixed shapes: each time it reads the same memory and writes the same memory,
and it looks at no value, so that a CUDA graph of it can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import StaticLayer

from rlhf.models.networks import Policy
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.engines.cache import BufferLayer
from rlhf.rollout.engines.prefill import read_step
from rlhf.rollout.engines.sampler import draw
from rlhf.rollout.engines.written import Written


class KeptLayer(BufferLayer):
    """A BufferLayer whose buffers are the beginning of memory that stays from batch to batch, with
    room for `rows` rows."""

    def __init__(self, length: int, rows: int, memory: dict[int, Tensor]) -> None:
        super().__init__(length)
        self.rows, self.memory = rows, memory
        self.whole: dict[int, Tensor] = {}  # [rows, heads, length, size], of keys and of values

    def room(self, part: int, states: Tensor) -> Tensor:
        shape = (self.rows, states.shape[1], self.length, states.shape[3])
        numbers = self.rows * self.length * states.shape[1] * states.shape[3]
        block = self.memory.get(part)
        if block is None or block.numel() < numbers or block.dtype != states.dtype:
            self.memory.pop(part, None)
            block = self.memory[part] = states.new_empty(numbers)
        # zeros: what is masked counts nothing, but for NaN
        self.whole[part] = block[:numbers].view(shape).zero_()
        return self.whole[part][: len(states)]


class FixedLayer(StaticLayer):
    """A StaticLayer over memory that is there: a step writes at `slot` [], which all layers share;
    transformers' own counts and adds up in each of them."""

    def __init__(self, keys: Tensor, values: Tensor, slot: Tensor) -> None:
        super().__init__(max_cache_len=keys.shape[2])
        self.keys, self.values, self.cumulative_length = keys, values, slot
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        assert self.keys is not None and self.values is not None
        at = self.cumulative_length.view(1)
        for buffer, states in ((self.keys, key_states), (self.values, value_states)):
            buffer.index_copy_(2, at, states.to(buffer.dtype))
        return self.keys, self.values


def kept_cache(
    config: PreTrainedConfig, length: int, rows: int, memory: dict[int, dict[int, Tensor]]
) -> DynamicCache:
    """An empty cache, as `cache_of`, in memory by layer and part, which is taken where there is too
    little."""
    cache = DynamicCache(config=config)
    cache.layers = [
        KeptLayer(length, rows, memory.setdefault(i, {})) for i in range(len(cache.layers))
    ]
    return cache


def fixed_cache(cache: DynamicCache, rows: int, slot: Tensor) -> DynamicCache:
    """The first rows of a `kept_cache`, written at `slot`; a layer that reads another's stays."""
    fixed = DynamicCache()
    fixed.layers = [
        FixedLayer(layer.whole[0][:rows], layer.whole[1][:rows], slot)
        if isinstance(layer, KeptLayer) and layer.is_initialized
        else layer
        for layer in cache.layers
    ]
    return fixed


def compact(cache: DynamicCache, kept: Tensor) -> None:
    """Brings these rows of a `kept_cache` to its beginning."""
    for layer in cache.layers:
        for whole in layer.whole.values() if isinstance(layer, KeptLayer) else ():
            whole[: len(kept)] = whole.index_select(0, kept)


@dataclass(kw_only=True)
class FixedStep:
    """Reads the last token of N rows and draws the next. `at` and `written.ended` apart, a step
    twice is a step once: it writes what it wrote."""

    model: Policy
    cache: DynamicCache  # of L slots a row
    sampling: Sampling
    stop: Tensor  # ids [E]
    slot: Tensor  # [] of the token that is read
    width: Tensor  # [1] slots of the prompts
    at: Tensor  # [1] the step whose token is drawn
    prompt: Tensor  # [N, L] bool: slots of the row's prompt
    place: Tensor  # [N, 1] position of the prompt's last token
    u: Tensor  # [N, T]
    written: Written  # N rows of T tokens
    play: Callable[[], None] | None = None  # takes a step: the step itself, or its graph's replay

    @classmethod
    def of(
        cls, model: Policy, cache: DynamicCache, sampling: Sampling, ids: tuple[int, ...], like: Any
    ) -> FixedStep:
        """A step in memory of its own, for as many rows and slots as the bools `like` [N, L]."""
        device, (rows, _), steps = like.device, like.shape, sampling.max_new_tokens
        slot = torch.zeros((), dtype=torch.long, device=device)
        return cls(
            model=model,
            cache=fixed_cache(cache, rows, slot),
            sampling=sampling,
            stop=torch.tensor(ids, device=device),
            slot=slot,
            width=slot.new_zeros(1),
            at=slot.new_zeros(1),
            prompt=torch.zeros_like(like),
            place=slot.new_zeros(rows, 1),
            u=torch.zeros(rows, steps, device=device),
            written=Written.nothing(rows, steps, 0, device),
        )

    def load(
        self, written: Written, step: int, *, prompt: Tensor, width: int, place: Tensor, u: Tensor
    ) -> None:
        """Takes its rows over where they stand: the next token is that of `step`."""
        self.written.take(written)
        self.at.fill_(step)
        self.width.fill_(width)
        for own, given in ((self.prompt, prompt), (self.place, place), (self.u, u)):
            own.copy_(given)

    def logits(self) -> Tensor:
        """[N, V] of the next token."""
        self.slot.copy_((self.width + self.at - 1).squeeze(0))
        slots = torch.arange(self.prompt.shape[1], device=self.slot.device)
        mask = self.prompt | ((slots >= self.width) & (slots <= self.slot))
        last = self.written.tokens.index_select(1, self.at - 1)
        with as_autocast(self.slot.device.type):
            place = self.place + self.at
            return read_step(self.model, last, mask[:, None, None], place, self.cache)

    def __call__(self) -> None:
        logits = self.logits()
        u = self.u.index_select(1, self.at).squeeze(1)
        drawn = draw(logits, u, self.sampling)
        self.written.put_at(self.at, drawn)
        self.written.ended |= (drawn.tokens[:, None] == self.stop).any(1)
        self.at += 1

    def undone(self) -> None:
        """A step that leaves all as it was, but for what the next one writes again."""
        at, ended = self.at.clone(), self.written.ended.clone()
        self()
        self.at.copy_(at)
        self.written.ended.copy_(ended)


def as_autocast(kind: str) -> torch.autocast:
    """Autocast as it is now, but for its cache: a graph would read copies of weights from it that
    are gone, or old, when it is replayed."""
    return torch.autocast(
        kind,
        dtype=torch.get_autocast_dtype(kind),
        enabled=torch.is_autocast_enabled(kind),
        cache_enabled=False,
    )


class LooksAtValues(RuntimeError):
    """What is computed next, or its shape, depends on a tensor's values."""


class NoLooks(TorchDispatchMode):
    """Refuses operations that look at values. What synchronises inside of a kernel's call it cannot
    see: a capture refuses that."""

    LOOKS: ClassVar = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(tag in func.tags for tag in self.LOOKS) and not _by_numbers(func, args):
            raise LooksAtValues(f"its forward pass looks at values ({func})")
        return func(*args, **(kwargs or {}))


def _by_numbers(func: Any, args: Any) -> bool:
    """Whether it selects by indices, whose shape is known, and not by a mask."""
    return func is torch.ops.aten.index.Tensor and not any(
        x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1]
    )
