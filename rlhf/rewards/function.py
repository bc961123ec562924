"""A reward that is a function of the user's own: texts in, numbers out."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from numbers import Real
from pathlib import Path
from typing import Any

import torch

from rlhf.arguments import positive
from rlhf.rewards.checks import function_fault, given_to, name_fault
from rlhf.rewards.texts import Row, TextScorer
from rlhf.rundir.errors import RunFailed

SHOWN = 40  # letters of a prompt in a message


class FunctionScorer(TextScorer):
    """What a function gives: a list, an array of numpy or a tensor of one number a response.

    It is called by name with those of `prompts`, `responses`, `references` and `turns` that its
    signature has, each a list of an item a response, and with `arguments`, without gradient.

    Args:
        timeout: seconds that a call for a batch may take; None: any. A call that takes longer ends
            the run. No thread can be killed: the call goes on in the background until it returns or
            the process ends, and nothing waits for it.
        pure: a row's score follows from the row alone: it is then not asked twice for one row.
        metric: the scores are shown as `reward/<metric>`; None: under the function's name.

    Raises:
        ValueError: the function cannot be called so.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: Mapping[str, Any] | None = None,
        batch_size: int = 64,
        timeout: float | None = None,
        pure: bool = False,
        metric: str | None = None,
        **rules: Any,
    ) -> None:
        own = getattr(function, "__name__", type(function).__name__)
        super().__init__(metric=metric or own, batch_size=batch_size, pure=pure, **rules)
        self.function, self.arguments = function, dict(arguments or {})
        self.address = f"{getattr(function, '__module__', '')}.{own}"
        fault = function_fault(function, self.arguments)
        if fault is not None:
            raise ValueError(f"{self.address} {fault}")
        if reason := name_fault(self.metric):
            raise ValueError(f"{reason} by scorer.metric")
        self.timeout = None if timeout is None else positive("timeout", timeout)
        self.given = given_to(function)

    def numbers(self, rows: Sequence[Row], device: torch.device) -> list[float]:
        try:
            given = self._call(rows)
        except Overdue:
            raise RunFailed(
                f"{self.address} took more than scorer.timeout={self.timeout:g} s for"
                f" {len(rows)} responses (the first one to {_start(rows[0])}); the call is left to"
                " itself. Raise scorer.timeout, or lower scorer.batch_size"
            ) from None
        except Exception as error:
            raise RunFailed(self._raised(rows, error)) from error
        return numbers(given, rows, self.address)

    def _call(self, rows: Sequence[Row]) -> Any:
        columns = {
            "prompts": [row.prompt for row in rows],
            "responses": [row.response for row in rows],
            "references": [row.reference for row in rows],
            "turns": [row.turns for row in rows],
        }
        given = {name: columns[name] for name in self.given}
        return within(self.timeout, lambda: self.function(**given, **self.arguments))

    def _raised(self, rows: Sequence[Row], error: Exception) -> str:
        """The sentence for what the function raised. Rows are tried one by one to name the first
        that it raises for."""
        for number, row in enumerate(rows if len(rows) > 1 else ()):
            try:
                self._call([row])
            except Exception as alone:
                return self._words(alone, f"row {number} of a batch, the response to {_start(row)}")
        return self._words(
            error, f"{len(rows)} responses together, the first one to {_start(rows[0])}"
        )

    def _words(self, error: Exception, where: str) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        line = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        return f"{self.address} raised {type(error).__name__}: {error}{line} for {where}"


class Overdue(Exception):
    """A call took too long."""


def within(seconds: float | None, call: Callable[[], Any]) -> Any:
    """What the call gives, without gradient. Raises Overdue where it takes longer."""
    if seconds is None:
        try:
            with torch.no_grad():
                return call()
        except SystemExit as left:  # it must not end the run as if it had been asked to
            raise _left(left) from None
    results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            with torch.no_grad():  # a thread has its own
                results.put((call(), None))
        except BaseException as error:  # SystemExit too: it must not end a thread in silence
            results.put((None, error))

    context = copy_context()
    threading.Thread(target=context.run, args=(work,), daemon=True, name="scorer").start()
    try:
        given, error = results.get(timeout=seconds)
    except queue.Empty:
        raise Overdue from None
    if error is not None:
        raise error if isinstance(error, Exception) else _left(error)
    return given


def _left(error: BaseException) -> Exception:
    """The same as an Exception, raised where it was."""
    words = f"it ended with {type(error).__name__}: {error}"
    return RuntimeError(words).with_traceback(error.__traceback__)


def numbers(given: Any, rows: Sequence[Row], who: str) -> list[float]:
    """`given` as one number a row.

    Raises:
        RunFailed: it is anything else; NaN and infinity are numbers here.
    """
    if hasattr(given, "detach"):
        given = given.detach()
    if hasattr(given, "tolist"):
        given = given.tolist()
    expected = f"expected a list of {len(rows)} numbers, one a response"
    if not isinstance(given, (list, tuple)):
        raise RunFailed(f"{who} gave {_kind(given)} for {len(rows)} responses; {expected}")
    if len(given) != len(rows):
        raise RunFailed(f"{who} gave {len(given)} scores for {len(rows)} responses; {expected}")
    scores = []
    for number, (score, row) in enumerate(zip(given, rows, strict=True)):
        if hasattr(score, "tolist"):  # a tensor or a number of numpy among them
            score = score.tolist()
        if not isinstance(score, Real):
            raise RunFailed(
                f"{who} gave {_kind(score)} for row {number}, the response to {_start(row)};"
                " expected a number"
            )
        scores.append(float(score))
    return scores


def _kind(value: Any) -> str:
    return "None" if value is None else f"{str(value)[:SHOWN]!r} ({type(value).__name__})"


def _start(row: Row) -> str:
    prompt = row.prompt
    return repr(prompt if len(prompt) <= SHOWN else prompt[:SHOWN] + "...")
