"""The signals that end a command: Ctrl-C, SIGTERM, SIGHUP (a closed terminal's; not under `nohup`),
SIGUSR1 and SIGUSR2 (the warnings of schedulers), and the alarm of a run's own time limit."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from types import FrameType
from typing import Any

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM")
# Taken from nobody: a launcher's own handler (submitit's requeues its job) stays where it is.
YIELDING = ("SIGUSR1", "SIGUSR2", "SIGALRM")
TWICE = 1.0  # seconds in which the same wish may come again
AGAIN = 0.02  # seconds after which a signal whose exception was dropped comes once more
LINGER = 5.0  # seconds that a stopped process has for its own end
OURS = "rlhf-"  # begins the names of threads that end by themselves
LONGEST = 1e9  # seconds that an alarm is set for at most: 30 years

Handler = Callable[[int, FrameType | None], object]
_ours: list[Handler] = []
noted: list[int] = []  # every wish to end that this process took note of, the first one first


def exit_code_of(number: int) -> int:
    """130 for Ctrl-C, 143 for everything else that asks a process to end."""
    return 130 if number == signal.SIGINT else 143


class Stop:
    """The signals that came: the first asks for an end, the second for one at once."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.last = 0.0

    def note(self, number: int) -> bool:
        """Counts a signal, and says whether it did: shells and wrappers may send one twice at
        once."""
        new = not self.signals or time.monotonic() - self.last > TWICE
        if new:
            self.signals.append(number)
            noted.append(number)
            self.last = time.monotonic()
        return new

    @property
    def exit_code(self) -> int | None:
        """130 for Ctrl-C, 143 for everything else, None if nothing came."""
        return exit_code_of(self.signals[0]) if self.signals else None


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Signals are noted instead of obeyed, for whoever looks."""
    stop = Stop()
    with handled(STOPPING, lambda number, frame: stop.note(number)):
        yield stop


@contextmanager
def unwinding() -> Iterator[None]:
    """Every signal unwinds as Ctrl-C does, so that a launcher can end its workers.

    Raises:
        SystemExit: 143, wherever the process stands when one comes.
        KeyboardInterrupt: Ctrl-C.
    """
    stop = Stop()

    def end(number: int) -> BaseException | None:
        if not stop.note(number):
            return None
        return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(stop.exit_code)

    with raising(STOPPING, end):
        try:
            yield
        except SystemExit as left:  # Ray puts a code of its own in place of ours
            raise SystemExit(stop.exit_code if stop.signals else left.code) from None


def leave_at_once() -> None:
    """From now on a signal ends the process with a line on stderr, wherever nobody handles it in
    another way: while modules are imported and a config is composed there is nothing to save, and
    an exception would come out of the middle of somebody's import."""

    def leave(number: int, frame: FrameType | None) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        with suppress(OSError):  # not print: it may be what was interrupted
            os.write(2, f"rlhf: stopped by {name}\n".encode())
        os._exit(exit_code_of(number))

    _take(STOPPING, leave)
    _ours.append(leave)
    atexit.register(_ignore)  # the last thing to be done, as it is the first that was registered


def end_by_the_clock(code: int) -> None:
    """Where a signal came, this process ends with `code` in `LINGER` seconds, whatever still runs
    in it: what a signal raises may come out of a library that was starting a pool of threads
    (`ThreadPoolExecutor.submit`), for which Python would wait for ever. Our own threads have that
    time to end, as what Python does last goes wrong beside one that makes and drops objects."""

    def end() -> None:
        time.sleep(LINGER)
        os._exit(code)

    if noted:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        threading.Thread(target=end, daemon=True).start()
        for thread in threading.enumerate():
            if thread.name.startswith(OURS):
                thread.join()


def _ignore() -> None:
    """While Python takes itself down there are no handlers: a signal would change the exit code of
    a command that has ended."""
    if threading.current_thread() is threading.main_thread():
        for name in STOPPING:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)


@contextmanager
def alarm_after(seconds: float | None) -> Iterator[bool]:
    """SIGALRM to this process once, after so many seconds inside; None: never. Yields False where
    it cannot be had: nobody of ours handles it, as in another than the main thread."""
    wanted = seconds is not None
    here = threading.current_thread() is threading.main_thread()
    armed = here and seconds is not None and signal.getsignal(signal.SIGALRM) in _ours
    if seconds is not None and armed:
        signal.setitimer(signal.ITIMER_REAL, min(seconds, LONGEST))
    try:
        yield armed or not wanted
    finally:
        if armed:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def raising(
    names: tuple[str, ...], error_of: Callable[[int], BaseException | None]
) -> Iterator[None]:
    """Raises what `error_of` makes of a signal's number (None: nothing), wherever the process
    stands. Python drops what is raised in a finalizer (`__del__`, a callback of a weak reference)
    and goes on as if nothing had come: then it is raised again when that has ended."""
    raised: list[tuple[int, BaseException]] = []  # the last one
    dropped: list[BaseException] = []
    reminders: list[threading.Thread] = []
    before, here = sys.unraisablehook, threading.current_thread()

    @wraps(error_of)
    def leave(number: int, frame: FrameType | None) -> None:
        if _is_within(look, frame):  # it would be dropped here, too
            return
        error = dropped.pop() if dropped else error_of(number)
        if error is not None:
            raised[:] = [(number, error)]
            raise error

    def remind(number: int) -> None:
        while dropped and here.ident is not None:
            signal.pthread_kill(here.ident, number)
            time.sleep(AGAIN)

    def look(lost: sys.UnraisableHookArgs) -> None:
        if not any(lost.exc_value is error for _, error in raised):
            before(lost)
            return
        number, error = raised.pop()
        # its traceback would keep alive what is being finalized
        dropped.append(error.with_traceback(None))
        reminders.append(threading.Thread(target=remind, args=(number,), daemon=True))
        reminders[-1].start()

    with handled(names, leave):
        sys.unraisablehook = look
        try:
            yield
        finally:
            sys.unraisablehook = before
            raised.clear()
            dropped.clear()
            for thread in reminders:  # none comes when there is no handler any more
                thread.join()


def _is_within(function: Callable[..., object], frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


@contextmanager
def handled(names: tuple[str, ...], handler: Handler) -> Iterator[None]:
    """`handler` for these signals. Nothing outside the main thread (a notebook's executor): there
    signals are somebody else's business."""
    before = _take(names, handler)
    _ours.append(handler)
    try:
        yield
    finally:
        _ours.remove(handler)
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _take(names: tuple[str, ...], handler: Handler) -> dict[int, Any]:
    """Installs the handler where it may be, and returns those that it took the place of."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    there = [name for name in names if hasattr(signal, name)]
    numbers = [number for name in there if _is_free(number := getattr(signal, name), name)]
    return {number: signal.signal(number, handler) for number in numbers}


def _is_free(number: int, name: str) -> bool:
    current: Any = signal.getsignal(number)
    if name in YIELDING:
        return current is signal.SIG_DFL or current in _ours
    return current is not None and (name == "SIGINT" or current is not signal.SIG_IGN)


def hold() -> None:
    """Signals wait from now on, in this process and in those that are forked from it, until
    `release`. For a server that only forks: a scheduler signals all processes of a job, and the
    server must not end before those it has forked."""
    _mask("SIG_BLOCK")


def release() -> None:
    """Signals that waited come now."""
    _mask("SIG_UNBLOCK")


def _mask(how: str) -> None:
    if hasattr(signal, "pthread_sigmask"):
        numbers = [getattr(signal, name) for name in STOPPING if name != "SIGINT"]
        signal.pthread_sigmask(getattr(signal, how), numbers)
