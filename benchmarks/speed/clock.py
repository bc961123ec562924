"""What the product's iterations take, by phase, and peers that take turns with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytorch_lightning as pl

from benchmarks.peak import allocated

Numbers = dict[str, float]
device = "cpu"  # where this process computes: `compute_on` says so


def compute_on(name: str) -> None:
    """Says where: on the "cpu", or on "cuda"."""
    global device
    device = name


def now() -> float:
    """Seconds that all threads of this process have computed; of a GPU those of the clock, once it
    has done what it was asked to."""
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


class Ended(BaseException):
    """Takes a peer out of its training, as nobody waits for it any more."""


class Peer:
    """A training of others in a thread of its own, which goes on only while its turn lasts.

    `work(boundary)` trains; it calls `boundary(numbers)` at the end of each unit (an iteration, an
    epoch), which comes back at the beginning of the next turn.
    """

    def __init__(self, work: Callable[[Callable[[Numbers], None]], None]) -> None:
        self._work, self._go, self._back = work, threading.Semaphore(0), threading.Semaphore(0)
        self._ended, self._numbers = False, Numbers()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            with suppress(Ended):
                if not self._ended:
                    self._work(self._boundary)
        except BaseException as error:
            self._error = error
        self._ended = True
        self._back.release()

    def _boundary(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._back.release()
        self._go.acquire()
        if self._ended:
            raise Ended

    def turn(self) -> Numbers:
        """One unit, and its numbers."""
        self._numbers = {}
        self._go.release()
        self._back.acquire()
        if self._error is not None:
            raise self._error
        return self._numbers

    def end(self) -> None:
        self._ended = True
        self._go.release()
        self._thread.join(60)


class Clock(pl.Callback):
    """Notes what each iteration of a run takes, and lets others have their turn between two.

    A piece of the config (`callbacks.clock._target_`), so that the run is the one that users have;
    what it noted is in the class, of which there is one run at a time.
    """

    units: list[Numbers] = []
    turn: Callable[[], None] = staticmethod(lambda: None)

    @classmethod
    def begin(cls, turn: Callable[[], None] = lambda: None) -> None:
        cls.units, cls.turn = [], staticmethod(turn)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._drawing = self._tokens = self._rows = 0.0
        if hasattr(pl_module, "respond"):
            pl_module.respond = self._timed(pl_module.respond)

    def _timed(self, respond: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            began = now()
            rollout = respond(*arguments, **named)
            self._drawing += now() - began
            self._tokens, self._rows = float(rollout.mask.sum()), float(len(rollout.mask))
            return rollout

        return timed

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.before = allocated(device)
        self._begin()

    def _begin(self) -> None:
        self._drawing, self._first, self._began = 0.0, 0.0, now()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._epoch = now()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self._first = self._first or now()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._last = now()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """`total`: from here to here, the records and the tracking of the unit before among it (the
        module has its own end, with an evaluation where there is one, after this); `training`:
        from the epoch's start to its last step, without them."""
        ended = now()
        Clock.units.append(
            {
                "total": ended - self._began,
                "training": self._last - self._epoch,
                "generation": self._drawing,
                "update": self._last - self._first,
                "tokens": self._tokens,
                "bytes_before": self.before,
            }
        )
        Clock.turn()
        self._begin()
