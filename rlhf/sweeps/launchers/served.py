"""Processes that are forked from a server, which has imported what they need once for all of them.
Imports neither torch nor the pipeline."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, ClassVar

from rlhf.rundir.signals import release


def start_method() -> str:
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def serve(modules: Sequence[str]) -> bool:
    """Whether this system has such a server. It begins with its first process, and imports these
    modules then."""
    if start_method() != "forkserver":
        return False
    multiprocessing.get_context("forkserver").set_forkserver_preload([*modules])
    return True


class Aside:
    """A process beside the jobs, used like a thread: MLflow, which takes seconds to import, is
    there. It ends with the process that starts it."""

    made: ClassVar[bool] = False  # whether there has been one

    def __init__(self, target: Callable[..., object], args: Sequence[Any] = ()) -> None:
        context: Any = multiprocessing.get_context(start_method())
        self._process = context.Process(target=_work, args=(target, *args), daemon=True)

    def start(self) -> None:
        """
        Raises:
            OSError, EOFError: there is no room for it.
        """
        self._process.start()
        Aside.made = True

    def join(self, timeout: float | None = None) -> None:
        self._process.join(timeout)

    def is_alive(self) -> bool:
        return bool(self._process.is_alive())


def answer(target: Callable[..., Any], *arguments: Any) -> Any:
    """What `target`, a function of a module, returns. It is called beside the jobs where something
    was before, and here where it was not, or where that process ended without an answer."""
    if Aside.made:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        with ours, suppress(OSError, EOFError):
            with theirs:
                Aside(_tell, (theirs, target, *arguments)).start()
            return ours.recv()
    return target(*arguments)


def _tell(to: Connection, target: Callable[..., Any], *arguments: Any) -> None:
    to.send(target(*arguments))


def _work(target: Callable[..., object], *arguments: Any) -> None:
    release()
    target(*arguments)
