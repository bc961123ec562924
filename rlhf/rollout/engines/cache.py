"""Keys and values of the tokens so far, in memory that is taken once."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


class BufferLayer(DynamicLayer):
    """A DynamicLayer whose keys and values are the filled part of a buffer: the same numbers, but
    a step writes its own alone, where concatenation copies all that there are."""

    def __init__(self, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = length  # the most tokens

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self.buffers = [self.room(i, x) for i, x in enumerate((key_states, value_states))]

    def room(self, part: int, states: Tensor) -> Tensor:
        """Memory for the rows of the states, [rows, heads, length, size]: of keys part 0, of values
        1."""
        return states.new_empty((*states.shape[:2], self.length, states.shape[3]))

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        begin = self.get_seq_length()
        end = begin + key_states.shape[-2]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, begin:end] = states
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)
        return self.keys, self.values

    def put(self, rows: Tensor, count: int, end: int, keys: Tensor, values: Tensor) -> None:
        """Keys and values of some rows of `count`, the last at the place before `end`; a row's
        places before its first hold zeros."""
        own = (keys, values)
        if not self.is_initialized:
            self.lazy_initialization(*(x.new_empty(count, *x.shape[1:]) for x in own))
            for buffer in self.buffers:
                buffer[:, :, :end] = 0
            self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)
        for buffer, states in zip(self.buffers, own, strict=True):
            buffer[rows, :, end - states.shape[2] : end] = states

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keeps these rows, in this order: at most as many as there are."""
        if not self.is_initialized:
            return
        end, count = self.get_seq_length(), len(beam_idx)
        for buffer in self.buffers:
            buffer[:count, :, :end] = buffer[:, :, :end].index_select(0, beam_idx)
        self.buffers = [buffer[:count] for buffer in self.buffers]
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)


def cache_of(config: PreTrainedConfig, length: int) -> DynamicCache:
    """An empty cache for at most `length` tokens a row: with buffers for layers that attend to all
    of them; layers of other kinds (sliding windows, states) keep what transformers gives them."""
    cache = DynamicCache(config=config)
    cache.layers = [
        BufferLayer(length) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def keep_rows(cache: DynamicCache, index: Tensor) -> None:
    """The cache of these of its rows."""
    for layer in cache.layers:
        layer.reorder_cache(index)  # type: ignore[arg-type]


def is_buffered(cache: DynamicCache) -> bool:
    """True if all layers attend to all tokens."""
    return all(isinstance(layer, BufferLayer) for layer in cache.layers)


def copy_rows(
    part: DynamicCache, whole: DynamicCache, rows: Tensor, count: int, width: int
) -> None:
    """Copies the prompts of some rows into the cache of all `count`, where they end at `width`."""
    for own, layer in zip(part.layers, whole.layers, strict=True):
        assert isinstance(own, BufferLayer) and isinstance(layer, BufferLayer)
        if own.is_initialized:  # not of a layer that reads another's
            assert own.keys is not None and own.values is not None
            layer.put(rows, count, width, own.keys, own.values)
