"""Commands of `rlhf` in processes of their own, forked warm, and the faults that befall them."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from random import Random
from typing import Any

LIMIT = 240.0  # seconds after which a command counts as hanging
TRACEBACK = "Traceback (most recent call last)"
TRACE = 9  # lines of one that are told
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@dataclass(frozen=True)
class Fault:
    """A signal, at an operation on files or after seconds; `file_limit` bytes for each file."""

    number: int = 0
    operation: int = 0
    seconds: float = 0.0
    file_limit: int = 0

    def __str__(self) -> str:
        if not self.number:
            return f"files limited to {self.file_limit} bytes"
        moment = f"operation {self.operation}" if self.operation else f"{self.seconds:.2f} s"
        return f"{signal.Signals(self.number).name} at {moment}"


NONE = Fault()
# A process's exit code can be read once, and starting a process reads those of all that have ended:
# of two threads that read at once, one is told 255.
_one_reads = threading.Lock()


def end_of_trace(text: str) -> str:
    """The last lines of the first traceback in a text, on one line: where it came from, and the
    error."""
    lines = iter(text.partition(TRACEBACK)[2].splitlines()[1:])
    trace: list[str] = []
    for line in lines:
        trace.append(line.strip())
        if line and not line.startswith(" "):  # the error itself is not indented
            break
    return " | ".join(trace[-TRACE:])


@dataclass(frozen=True)
class Ended:
    code: int
    text: str  # all that it wrote to stdout and stderr
    seconds: float
    operations: int = 0

    @property
    def tracebacks(self) -> int:
        return self.text.count(TRACEBACK)

    @property
    def last_words(self) -> str:
        """The end of what it said, on one line."""
        return " ".join(self.text.split())[-400:]


@dataclass
class Command:
    process: Any
    output: Path
    began: float = field(default_factory=time.monotonic)

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        with _one_reads:
            code: int | None = self.process.exitcode
        return code

    def join(self, seconds: float | None = None) -> None:
        """Waits until it has ended, at most so long."""
        wait([self.process.sentinel], seconds)

    def signal(self, number: int) -> None:
        if self.code is None:
            os.kill(self.process.pid, number)

    def wait(self, limit: float = LIMIT) -> Ended:
        """How it ended; one that hangs is killed, and says so."""
        self.join(limit)
        hangs = self.code is None
        if hangs:
            self.signal(signal.SIGKILL)
            self.join()
        seconds = time.monotonic() - self.began
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        if hangs:
            text += f"\nhangs: killed after {seconds:.0f} s"
        counted = self.output.with_suffix(".operations")
        operations = int(counted.read_text()) if counted.exists() else 0
        code = self.code
        assert code is not None
        return Ended(code, text, seconds, operations)


class Server:
    """Starts commands."""

    def __init__(self, outputs: Path) -> None:
        from rlhf.sweeps.launchers.prepare import limit_threads
        from rlhf.tracking.store import quiet

        limit_threads(1)
        quiet()
        os.environ["HF_HUB_OFFLINE"] = "1"
        self.outputs = outputs
        outputs.mkdir(parents=True, exist_ok=True)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["benchmarks.soak.warm"])

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Calls a function of a module in a process of its own.

        Raises:
            RuntimeError: it did not end well.
        """
        called = self._begin(function, arguments, self.outputs)
        called.join()
        if called.code:
            raise RuntimeError(f"{function.__name__}: exit code {called.code}")

    def start(
        self,
        folder: Path,
        words: Sequence[str],
        fault: Fault = NONE,
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        output = self.outputs / f"{time.monotonic_ns()}.{Random().getrandbits(32):08x}.txt"
        arguments = (folder, list(words), output, fault, dict(environment or {}))
        return self._begin(work, arguments, output)

    def _begin(
        self, function: Callable[..., object], arguments: tuple[object, ...], output: Path
    ) -> Command:
        process = self.context.Process(target=function, args=arguments)
        with _one_reads:
            process.start()
        return Command(process, output)

    def run(
        self,
        folder: Path,
        words: Sequence[str],
        fault: Fault = NONE,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """The command to its end; a fault by the clock comes when its time has."""
        command = self.start(folder, words, fault, environment)
        if fault.seconds:
            command.join(fault.seconds)
            command.signal(fault.number)
        return command.wait()


def work(
    folder: Path, words: list[str], output: Path, fault: Fault, environment: dict[str, str]
) -> None:
    """The child: all of a process that is `rlhf`, and its end as Python would make it."""
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    with output.open("wb") as file, open(os.devnull, "rb") as nothing:
        for source, stream in ((file, 1), (file, 2), (nothing, 0)):
            os.dup2(source.fileno(), stream)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server holds them back
    for number in STOPS:
        handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, handler)
    if fault.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.file_limit, fault.file_limit))
    count = _count_operations(folder, fault)
    from rlhf.__main__ import process

    sys.argv = ["rlhf", *words]
    try:
        code = process()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException as error:
        traceback.print_exc()
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if not fault.file_limit:
        output.with_suffix(".operations").write_text(str(count[0]))
    sys.exit(code)


def _count_operations(folder: Path, fault: Fault) -> list[int]:
    """Counts the process's changes of files below `folder`, and sends it the fault's signal just
    before the one that the fault names."""
    count, root, here = [0], str(folder), os.getpid()

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & WRITING:
                return
        elif event not in CHANGES:
            return
        path = arguments[0]
        if isinstance(path, (str, Path)) and os.path.abspath(path).startswith(root):
            count[0] += 1
            if count[0] == fault.operation and os.getpid() == here:
                os.kill(here, fault.number)

    sys.addaudithook(look)
    return count
