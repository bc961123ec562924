import subprocess
import sys
from typing import Any

import pytest

from rlhf.kl.rules import faults

GOOD: dict[str, Any] = {
    "estimator": "K1",
    "placement": "Reward",
    "controller": "Fixed",
    "coef": 0.05,
    "top_k": 0,
    "top_p": 1.0,
    "reference": "SFT",
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"coef": 0.0},
        {"estimator": "K2"},
        {"estimator": "K3"},
        {"estimator": "Abs"},
        {"estimator": "K1Clamped"},
        {"estimator": "K2", "placement": "Loss"},
        {"estimator": "K3", "placement": "Loss"},
        {"estimator": "Abs", "placement": "Loss"},
        {"estimator": "Exact", "placement": "Both"},
        {"estimator": "Exact", "placement": "Both", "top_k": 50},
        {"controller": "Adaptive"},
        {"controller": "PID", "bounds": (1e-4, 10.0)},
        {"controller": "Linear", "coef": 0.0},
        {"reference": "EMA", "controller": "Adaptive"},
        {"reference": "Synced"},
        {"coef": 0.0, "top_k": 50, "top_p": 0.9},  # no penalty: only the measured KL is off
        {"temperature": 0.7},  # all log-probabilities are taken at it
    ],
)
def test_what_works(change: dict[str, Any]) -> None:
    assert faults(**GOOD | change) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"estimator": "K1", "placement": "Loss"}, "expected gradient of k1 is zero"),
        ({"estimator": "K1Clamped", "placement": "Loss"}, "total variation"),
        ({"estimator": "Exact"}, "kl/placement=both"),
        ({"estimator": "Exact", "placement": "Loss"}, "kl/placement=both"),
        ({"coef": -0.1}, "at least 0"),
        ({"coef": float("nan")}, "finite"),
        ({"coef": float("inf")}, "finite"),
        ({"controller": "Adaptive", "coef": 0.0}, "0 stays 0 for ever"),
        ({"controller": "AdaptiveAlpacaFarm", "coef": 0.0}, "0 stays 0 for ever"),
        ({"controller": "PID", "coef": 0.0}, "0 stays 0 for ever"),
        ({"controller": "Dual", "coef": 0.0}, "0 stays 0 for ever"),
        ({"controller": "Dual", "coef": 11.0, "bounds": (1e-4, 10.0)}, "bounds"),
        ({"top_k": 50}, "top_k=50"),
        ({"top_p": 0.9}, "top_p=0.9"),
        ({"temperature": 0.0}, "temperature=0"),
        ({"top_k": 50, "controller": "Linear", "coef": 0.0}, "top_k=50"),
        ({"reference": "Synced", "controller": "Dual"}, "falls back to 0"),
    ],
)
def test_what_is_refused(change: dict[str, Any], reason: str) -> None:
    (only,) = faults(**GOOD | change)
    assert reason in only
    assert only.endswith(".")


@pytest.mark.parametrize("estimator", ["K1", "K2", "K3", "Abs", "K1Clamped"])
def test_no_double_kl(estimator: str) -> None:
    (only,) = faults(**GOOD | {"estimator": estimator, "placement": "Both"})
    assert "twice" in only


def test_all_faults_come_together() -> None:
    found = faults(
        **GOOD
        | {
            "placement": "Loss",
            "controller": "Dual",
            "coef": 0.0,
            "top_k": 5,
            "reference": "Synced",
        }
    )
    assert len(found) == 4


def test_rules_and_controllers_need_no_torch() -> None:
    code = "import sys, rlhf.kl.rules, rlhf.kl.controller; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_controller_is_steered_by_sampled_log_ratios_whatever_the_estimator():
    (fault,) = faults(
        estimator="Exact", placement="Both", controller="Adaptive", coef=0.1, top_k=50, top_p=1.0
    )
    assert fault.startswith("generation.top_k=50 with the controller Adaptive")
