"""Responses drawn by steps of fixed shapes, on CUDA captured once and replayed.

A step of a small network waits for the launching of some thousand kernels; a graph launches them at
once. Rows and slots are rounded up, so that few graphs serve all batches. All graphs share one
cache, whose memory stays, and one pool.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from rlhf.at_once import GRAPH_ROWS, GRAPH_SLOTS, rounded
from rlhf.functional.sequences import positions
from rlhf.models.networks import Policy
from rlhf.models.sharding.agreed import is_cut, network_of
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.engines.cache import cache_of, is_buffered
from rlhf.rollout.engines.captured.fixed import FixedStep, NoLooks, compact, kept_cache
from rlhf.rollout.engines.local import LocalEngine
from rlhf.rollout.engines.prefill import read_prompts, takes_masks
from rlhf.rollout.engines.sampler import draw
from rlhf.rollout.engines.written import Written
from rlhf.types import PromptBatch, Rollout

log = logging.getLogger(__name__)
WARM_UP = 2  # steps on the stream of the capture, where libraries take their work space


class CannotCapture(RuntimeError):
    """No step of fixed shapes for this model, and why."""


def unfit(model: Policy) -> str | None:
    """Why the model's steps cannot be of fixed shapes; None where nothing is known against it."""
    if is_cut(model):
        return "it lies in parts on several devices"
    if not is_buffered(cache_of(model.config, 1)):
        return "not all of its layers attend to all tokens"
    if not takes_masks(model):
        return "its attention takes no mask of ours"
    return None


@dataclass
class Graphs:
    """An engine's steps by their shapes, and the memory that they share."""

    steps: dict[Any, FixedStep] = field(default_factory=dict)
    memory: dict[int, dict[int, Tensor]] = field(default_factory=dict)  # by layer: keys, values
    places: list[Any] = field(default_factory=list)  # of weights and memory, as graphs have them
    refused: str | None = None
    stream: Any = None  # captures', all on one: only then do they share a pool
    pool: Any = None

    def fits(self, model: Policy) -> bool:
        if self.refused is None and (reason := unfit(model)):
            self.refused = reason
            log.info("responses are drawn step by step, without CUDA graphs: %s", reason)
        return self.refused is None

    def refuse(self, reason: str) -> None:
        """Draws without from now on."""
        self.drop()
        self.memory.clear()
        self.refused = reason
        log.warning(
            "responses are drawn step by step, without CUDA graphs (generation.graphs=false leaves"
            " out the attempt): %s",
            reason,
        )

    def drop(self) -> None:
        self.steps.clear()
        self.stream = self.pool = None

    def together(
        self, engine: LocalEngine, prompts: PromptBatch, sampling: Sampling, u: Tensor
    ) -> Rollout:
        """What `TorchEngine.one_by_one` gives. Rows that have ended leave when at most half of a
        graph's rows go on.

        Raises:
            CannotCapture: the model's forward pass cannot be captured.
        """
        (count, width), steps, device = prompts.mask.shape, u.shape[1], u.device
        size, slots = rounded(count, GRAPH_ROWS), rounded(width + steps, GRAPH_SLOTS)
        cache = kept_cache(engine.model.config, slots, size, self.memory)
        logits = read_prompts(engine.model, prompts, cache)
        self.check(engine.model)
        written = Written.nothing(size, steps, engine.pad, device)
        written.ended[count:] = True  # rows that fill up the shape
        first = torch.arange(count, device=device)
        written.put(first, 0, draw(logits, u[:, 0], sampling))
        engine.end(written, first, 0)
        given = {
            "prompt": F.pad(prompts.mask, (0, slots - width, 0, size - count)),
            "place": F.pad(positions(prompts.mask)[:, -1:], (0, 0, 0, size - count)),
            "u": F.pad(u, (0, 0, 0, size - count)),
        }
        rows, step = torch.arange(size, device=device), 1
        going = int((~written.ended).sum())
        while step < steps and going:
            if (fitting := rounded(going, GRAPH_ROWS)) <= len(rows) // 2:
                kept = written.ended[rows].int().argsort(stable=True)[:fitting]
                compact(cache, kept)
                rows = rows[kept]
            own = {name: x[rows] for name, x in given.items()}
            fixed = self.step(engine, cache, sampling, own["prompt"])
            fixed.load(written.rows(rows), step, width=width, **own)
            step, going = self.draw(engine, fixed, step, steps)
            written.set_rows(rows, fixed.written)
        return written.rows(first).rollout(prompts)

    def check(self, model: Policy) -> None:
        """Drops graphs of weights, or of memory, that are no longer where they were."""
        network = network_of(model)
        weights = [*network.parameters(), *network.buffers()]
        memory = [block for blocks in self.memory.values() for block in blocks.values()]
        places = [(x.data_ptr(), x.dtype) for x in (*weights, *memory)]
        if places != self.places:
            self.drop()
            self.places = places

    def step(
        self, engine: LocalEngine, cache: DynamicCache, sampling: Sampling, prompt: Tensor
    ) -> FixedStep:
        """That of this shape, [rows, slots] as `prompt`, which is made where there is none."""
        kind = prompt.device.type
        cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        key = (prompt.shape, sampling, cast)
        if key not in self.steps:
            self.steps[key] = FixedStep.of(
                engine.model, cache, sampling, engine.stops.ids, like=prompt
            )
        return self.steps[key]

    def draw(self, engine: LocalEngine, fixed: FixedStep, step: int, steps: int) -> tuple[int, int]:
        """Steps until all are done, all rows have ended, or half the shape would do: the step that
        comes next, and how many rows go on."""
        every = torch.arange(len(fixed.u), device=fixed.u.device)
        if fixed.play is None:
            fixed.play = self.played(fixed)
        while True:
            fixed.play()
            engine.end_by_text(fixed.written, every, step)
            step, going = step + 1, int((~fixed.written.ended).sum())
            if step == steps or not going or rounded(going, GRAPH_ROWS) <= len(every) // 2:
                return step, going

    def played(self, fixed: FixedStep) -> Callable[[], None]:
        """What takes a step: its graph on CUDA, the step itself on a CPU. A warm-up is undone, and
        all steps that count are replayed: so a run that was stopped ends with the same bytes.

        Raises:
            CannotCapture: with the reason.
        """
        try:
            with NoLooks():  # type: ignore[no-untyped-call]
                fixed.logits()
            return fixed if fixed.u.device.type == "cpu" else self.captured(fixed)
        except RuntimeError as error:
            raise CannotCapture(next(iter(str(error).splitlines()), "")) from error

    def captured(self, fixed: FixedStep) -> Callable[[], None]:
        """A replay of the step's CUDA graph."""
        with torch.cuda.device(fixed.u.device):
            if self.stream is None:
                self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                for _ in range(WARM_UP):
                    fixed.undone()
            torch.cuda.current_stream().wait_stream(self.stream)
            graph = torch.cuda.CUDAGraph()
            # other threads of this process may use the device meanwhile
            with torch.cuda.graph(
                graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"
            ):
                fixed()
        replay: Callable[[], None] = graph.replay
        return replay
