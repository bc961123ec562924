import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rlhf.rundir.signals import (
    STOPPING,
    alarm_after,
    handled,
    hold,
    raising,
    release,
    stop_signals,
    unwinding,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def met():
    """Signals are met as a test says, whoever started it."""
    before = {
        number: signal.getsignal(number) for number in (getattr(signal, name) for name in STOPPING)
    }
    yield lambda number, handler: signal.signal(number, handler)
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_signals_are_noted(met, number, code):
    heard = []
    met(number, lambda *_: heard.append(1))
    with stop_signals() as stop:
        send(number)
        send(number)  # at once: a wrapper sent it twice
    assert (stop.signals, stop.exit_code, heard) == ([number], code, [])
    send(number)
    assert heard == [1]


class Final:
    """What Python finalizes while a signal comes: it drops what its handler raises there."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        send(self.number)


class Asked(BaseException):
    pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_what_is_raised_in_a_finalizer_is_raised_again_and_no_traceback_shown(met, number, capfd):
    met(number, signal.SIG_DFL if number == signal.SIGUSR1 else lambda *_: None)
    came, hook = [], sys.unraisablehook

    def once(number):
        came.append(number)
        return Asked() if len(came) == 1 else None

    with pytest.raises(Asked), raising(STOPPING, once):
        Final(number)
        for _ in range(1000):
            time.sleep(0.01)
    assert came == [number] and sys.unraisablehook is hook
    assert "Traceback" not in capfd.readouterr().err


def test_it_is_raised_again_as_often_as_it_is_dropped(met):
    """The second finalizer is at work when it comes again; what ends before it comes is left in
    peace."""
    met(signal.SIGTERM, lambda *_: None)

    class Slow(Final):
        def __del__(self):
            super().__del__()
            time.sleep(0.1)

    class Waits:
        def __del__(self):
            time.sleep(0.1)

    with pytest.raises(Asked), raising(STOPPING, lambda _: Asked()):
        Slow(signal.SIGTERM)
        Waits()
        time.sleep(10)
    with raising(STOPPING, lambda _: Asked()):
        Final(signal.SIGTERM)
    time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_one_of_two_at_once_unwinds(met, number):
    """The other must not break into the cleaning up."""
    met(number, lambda *_: None)
    cleaned = []
    with pytest.raises(SystemExit) as left, unwinding():
        try:
            send(number)
        finally:
            send(number)
            cleaned.append(1)
    assert (left.value.code, cleaned) == (143, [1])


@pytest.mark.parametrize(("code", "ours"), [(1, 143), (None, 143), (143, 143)])
def test_after_a_signal_the_exit_code_is_ours(met, code, ours):
    """Ray makes a SystemExit(1) of whatever a handler raises."""
    with pytest.raises(SystemExit) as left, unwinding():
        with suppress(SystemExit):
            send(signal.SIGTERM)
        raise SystemExit(code)
    assert left.value.code == ours


def test_without_a_signal_the_exit_code_stays():
    with pytest.raises(SystemExit) as left, unwinding():
        raise SystemExit(2)
    assert left.value.code == 2


def test_an_ignored_sighup_stays_ignored(met):
    met(signal.SIGHUP, signal.SIG_IGN)
    with stop_signals() as stop, unwinding():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        send(signal.SIGHUP)
    assert stop.exit_code is None
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_schedulers_warning_is_noted_where_nobody_else_handles_it(met, number):
    """submitit's handler requeues its job."""
    with stop_signals() as outer, stop_signals() as inner:
        send(number)
    assert (outer.signals, inner.signals, inner.exit_code) == ([], [number], 143)
    heard = []
    met(number, lambda *_: heard.append(1))
    with stop_signals() as stop:
        send(number)
    assert (stop.signals, heard) == ([], [1])


def test_ctrl_c_unwinds_as_itself(met):
    """joblib ends its workers on KeyboardInterrupt."""
    with pytest.raises(KeyboardInterrupt), unwinding():
        send(signal.SIGINT)


def test_an_alarm_comes_once_and_only_inside():
    with stop_signals() as stop:
        with alarm_after(0.01) as kept:
            while not stop.signals:
                time.sleep(0.01)
        with alarm_after(3600.0):
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 3000
        with alarm_after(None) as none:
            assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert (stop.signals, kept, none) == ([signal.SIGALRM], True, True)


def test_an_alarm_that_nobody_of_ours_would_meet_is_not_set():
    kept = []

    def elsewhere():
        with handled(("SIGALRM",), lambda *_: None), alarm_after(0.01) as yes:
            kept.append((yes, signal.getitimer(signal.ITIMER_REAL)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert kept == [(False, (0.0, 0.0))]


def test_held_signals_come_when_they_are_released():
    with stop_signals() as stop:
        hold()
        try:
            # to this thread: others of this process, not made under `hold`, hold nothing
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
            held = list(stop.signals)
        finally:
            release()
        while not stop.signals:
            time.sleep(0.01)
    assert (held, stop.signals) == ([], [signal.SIGTERM])


EARLY = """
import os, signal, sys
from rlhf.rundir.signals import leave_at_once
signal.signal(signal.SIGINT, signal.default_int_handler)
leave_at_once()
try:
    os.kill(os.getpid(), int(sys.argv[1]))
    import time; time.sleep(60)
except BaseException:  # as somebody's import might
    print("swallowed")
"""


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "rlhf: stopped by Ctrl-C\n"),
        (signal.SIGTERM, 143, "rlhf: stopped by SIGTERM\n"),
        (signal.SIGUSR1, 143, "rlhf: stopped by SIGUSR1\n"),
    ],
)
def test_while_nothing_is_to_be_saved_a_line_is_all(number, code, line):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", EARLY, str(int(number))]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", line)


HALF_MADE = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from rlhf.rundir import signals
signals.LINGER = 0.2
started = threading.Thread.start

def interrupted(thread):  # by a signal, before the pool knows its thread
    started(thread)
    if sys.argv[1] == "stopped":
        os.kill(os.getpid(), signal.SIGTERM)

pool = ThreadPoolExecutor(1)
try:
    with signals.unwinding():
        threading.Thread.start = interrupted
        print(pool.submit(int).result(), end="")
except SystemExit as left:
    print(f"left with {left.code}", end="")
threading.Thread.start = started
code = 143 if signals.noted else 0
signals.end_by_the_clock(code)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("how", "code", "printed"), [("stopped", 143, "left with 143"), ("", 0, "0")]
)
def test_a_pool_that_a_signal_left_half_made_holds_nobody_up(how, code, printed):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", HALF_MADE, how]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (code, printed), done.stderr


DELIVERING = """
import os, signal, sys, threading, time, weakref
from rlhf.rundir import signals

class Thing: pass

def deliver():
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        things = [Thing() for _ in range(50)]
        for thing in things:
            weakref.finalize(thing, int)

def forever():
    threading.Event().wait()

signals.LINGER = float(sys.argv[2])
threading.Thread(target=globals()[sys.argv[1]], name="rlhf-tracking", daemon=True).start()
signals.noted.append(signal.SIGTERM)
signals.end_by_the_clock(143)
print(*(t.name for t in threading.enumerate() if t.name.startswith("rlhf")), end="ended")
sys.exit(143)
"""


@pytest.mark.parametrize(
    ("work", "linger", "printed"), [("deliver", "30", "ended"), ("forever", "0.2", "")]
)
def test_our_own_threads_have_time_to_end(work, linger, printed):
    """Python's own end looks through all finalizers, and fails where another thread makes some."""
    words = [sys.executable, "-c", DELIVERING, work, linger]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (143, printed, "")
