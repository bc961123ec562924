import os
import signal
from contextlib import suppress

import pytest

from rlhf.rundir.signals import stop_signals, unwinding


@pytest.fixture
def met():
    """Signals are met as a test says, whoever started it."""
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
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
