"""Hints of pairs that do not go together, found without a loop over a value's size."""

import pytest

from rlhf.config.pairs import SEARCHED, divisor_below


@pytest.mark.parametrize(
    ("whole", "part", "divisor"),
    [
        (128, 100, 64),
        (64, 128, 64),
        (96, 50, 48),
        (96, 5, 4),
        (97, 50, 1),  # a prime
        (2 * 49_999_991, 60_000_000, 49_999_991),  # a prime and 2
        (9_999_999_967, 64, 1),
        (7 * 11 * 13, 100, 91),  # 7 * 13
    ],
)
def test_the_largest_divisor_below(whole, part, divisor):
    assert divisor_below(whole, part) == divisor


def test_as_a_search_over_all_would_give():
    for whole in range(1, 200):
        for part in range(1, 210):
            expected = max(d for d in range(1, min(whole, part) + 1) if whole % d == 0)
            assert divisor_below(whole, part) == expected


def test_a_search_that_would_be_long_is_left():
    prime = 2**89 - 1
    assert divisor_below(prime, SEARCHED + 1) is None
    assert divisor_below(prime, 3) == 1


@pytest.mark.parametrize("stage", ["sft", "ppo"])
def test_a_decay_that_takes_a_weight_away(planned, stage):
    """lr * weight_decay: 0.5 * 2 = 1 is a whole weight, 0.5 * 1.9 is not."""
    lines = [f"optimizer@{stage}.optimizer=adamw", f"{stage}.optimizer.lr=0.5"]
    (fault,) = planned(*lines, f"{stage}.optimizer.weight_decay=2").faults
    assert fault.startswith(f"{stage}.optimizer.weight_decay=2: with {stage}.optimizer.lr=0.5")
    assert planned(*lines, f"{stage}.optimizer.weight_decay=1.9").faults == []


def test_the_port_of_a_server(planned):
    (fault,) = planned("tracking.uri='http://user:word@host:99999'").faults
    assert fault.startswith("tracking.uri: Port out of range") and "word" not in fault


def test_a_scheme_that_no_store_has(planned):
    (fault,) = planned("tracking.uri='gopher://host/x'").faults
    assert fault.startswith("tracking.uri: MLflow knows no gopher://; it knows sqlite://, http://,")
    assert planned("tracking.uri='postgresql+psycopg2://host/db'").faults == []
