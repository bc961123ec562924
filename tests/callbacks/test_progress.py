"""The line of a stage while it trains, where no terminal is."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from rlhf.callbacks import progress
from rlhf.callbacks.progress import Progress
from rlhf.metrics import COEF, KL


@pytest.mark.parametrize(("early", "left"), [(False, "left 20 s"), (True, "left at most 20 s")])
def test_a_line_says_what_is_left(monkeypatch, early, left):
    """4 of 12 iterations took 10 seconds: the other 8 take 20."""
    out = io.StringIO()
    bar = Progress(Console(file=out, width=20))
    module = SimpleNamespace(
        **{"stage": "ppo", "title": "rloo", "unit": "iteration", "iteration": 0, "iterations": 12},
        **{"record": {}, "may_end_early": early},
    )
    monkeypatch.setattr(progress, "time", SimpleNamespace(time=lambda: 1000.0))
    bar.on_train_start(None, module)
    monkeypatch.setattr(progress, "time", SimpleNamespace(time=lambda: 1010.0))
    module.iteration, module.record = 4, {KL: 1.5, COEF: 0.25}
    bar.on_train_end(None, module)
    line = ["rloo iteration 4/12", "KL 1.50", "coef 0.25", f"{left}\n"]
    assert out.getvalue().split("  ") == line


def test_no_line_without_numbers(monkeypatch):
    out = io.StringIO()
    bar = Progress(Console(file=out, width=20))
    module = SimpleNamespace(
        **{"stage": "sft", "title": "", "unit": "epoch", "iteration": 1, "iterations": 4},
        **{"record": {}, "may_end_early": False},
    )
    bar.on_train_start(None, module)
    bar.on_train_batch_start(None, module, None, 0)
    assert not out.getvalue()
