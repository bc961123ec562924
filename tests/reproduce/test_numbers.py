import json
import math

import pytest

from rlhf.reproduce.numbers import (
    MetricComparison,
    by_iteration,
    compare_metrics,
    compare_samples,
    compare_weights,
    gap,
    same,
)


def test_same_is_bitwise():
    assert (
        same(0.1 + 0.2, 0.30000000000000004)
        and same("nan", "nan")
        and same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    )
    assert (
        not same(0.1 + 0.2, 0.3)
        and not same(0.0, -0.0)
        and not same(1.0, "nan")
        and not same(1, True)
    )


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (2.0, 3.0, (1.0, 1 / 3)),
        (-2.0, 2.0, (4.0, 2.0)),
        (0.0, -0.0, (0.0, 0.0)),
        (0.0, 5.0, (5.0, 1.0)),
        ("nan", "nan", (0.0, 0.0)),
        ("inf", 1.0, (math.inf, math.inf)),
        (None, 1.0, (math.inf, math.inf)),
    ],
)
def test_gap(then, now, expected):
    assert gap(then, now) == expected


def test_every_metric_over_the_iterations_that_both_have():
    then = {
        0: {"iteration": 0, "a": 1.0},
        1: {"iteration": 1, "a": 2.0, "b": 1.0},
        2: {"iteration": 2, "a": 3.0, "b": 4.0},
        3: {"iteration": 3, "a": 9.0},
    }
    now = {
        0: {"iteration": 0, "a": 1.0},
        1: {"iteration": 1, "a": 2.0, "b": 1.0},
        2: {"iteration": 2, "a": 3.0, "b": 5.0, "c": 1.0},
    }
    a, b, c = compare_metrics(then, now)
    assert a == MetricComparison(
        name="a", compared=3, differing=0, first=None, max_abs=0.0, max_rel=0.0
    )
    assert b == MetricComparison(
        name="b", compared=2, differing=1, first=2, max_abs=1.0, max_rel=0.2
    )
    assert (c.name, c.first, c.max_abs) == ("c", 2, math.inf)
    assert a.equal and not b.equal


def test_samples_in_their_order():
    then = [
        {"iteration": 0, "response": "x"},
        {"iteration": 2, "response": "y"},
        {"iteration": 2, "response": "z"},
        {"iteration": 4, "response": "z"},
    ]
    now = [
        {"iteration": 0, "response": "x"},
        {"iteration": 2, "response": "y"},
        {"iteration": 2, "response": "q"},
    ]
    found = compare_samples(then, now, [0, 1, 2])
    assert (found.rows, found.differing, found.first) == (3, 1, 2)
    assert compare_samples(then, now, [1]) is None
    assert compare_samples(then, now[:2], [0, 2]).differing == 1


def test_weights(tmp_path):
    import torch
    from safetensors.torch import save_file

    files = (tmp_path / "a", tmp_path / "b")
    save_file({"w": torch.tensor([1.0, 2.0])}, files[0])
    save_file({"w": torch.tensor([1.0, 2.5])}, files[1])
    assert compare_weights("x", "x", files).equal and compare_weights(None, "x", files) is None
    off = compare_weights("x", "y", files)
    assert not off.equal and off.max_abs == 0.5
    save_file({"w": torch.tensor([[1.0, 2.5]])}, files[1])
    assert compare_weights("x", "y", files).max_abs is None


def test_a_cut_last_line_is_no_iteration(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        json.dumps({"iteration": 0, "a": 1.0}) + '\n{"iteration": 1, "a"'
    )
    assert by_iteration(tmp_path) == {0: {"iteration": 0, "a": 1.0}}
