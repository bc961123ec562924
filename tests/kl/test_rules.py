import subprocess
import sys
from typing import Any

import pytest

from rlhf.kl.properties import (
    CONTROLLERS,
    ESTIMATORS,
    PLACEMENTS,
    REFERENCES,
    ControllerProperties,
    EstimatorProperties,
    controller_properties,
    estimator_properties,
)
from rlhf.kl.rules import faults as judge

TABLES: dict[str, Any] = {
    "controller": CONTROLLERS,
    "estimator": ESTIMATORS,
    "placement": PLACEMENTS,
    "reference": REFERENCES,
}


def faults(**settings: Any) -> list[str]:
    """`judge` of pieces by their names."""
    return judge(**{k: TABLES[k][v] if k in TABLES else v for k, v in settings.items()})


GOOD: dict[str, Any] = {
    "estimator": "k1",
    "placement": "reward",
    "controller": "fixed",
    "coef": 0.05,
    "top_k": 0,
    "top_p": 1.0,
    "reference": "sft",
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"coef": 0.0},
        {"estimator": "k2"},
        {"estimator": "k3"},
        {"estimator": "abs"},
        {"estimator": "k1_clamped"},
        {"estimator": "k2", "placement": "loss"},
        {"estimator": "k3", "placement": "loss"},
        {"estimator": "abs", "placement": "loss"},
        {"estimator": "exact", "placement": "both"},
        {"estimator": "exact", "placement": "both", "top_k": 50},
        {"controller": "adaptive"},
        {"controller": "pid", "bounds": (1e-4, 10.0)},
        {"controller": "linear", "coef": 0.0},
        {"reference": "ema", "controller": "adaptive"},
        {"reference": "synced"},
        {"controller": "path", "coef": 0.0},
        {"coef": 0.0, "top_k": 50, "top_p": 0.9},  # no penalty: only the measured KL is off
    ],
)
def test_what_works(change: dict[str, Any]) -> None:
    assert faults(**GOOD | change) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"estimator": "k1", "placement": "loss"}, "expected gradient of k1 is zero"),
        ({"estimator": "k1_clamped", "placement": "loss"}, "total variation"),
        ({"estimator": "exact"}, "kl/placement=both"),
        ({"estimator": "exact", "placement": "loss"}, "kl/placement=both"),
        ({"coef": -0.1}, "at least 0"),
        ({"coef": float("nan")}, "finite"),
        ({"coef": float("inf")}, "finite"),
        ({"controller": "adaptive", "coef": 0.0}, "0 stays 0 for ever"),
        ({"controller": "adaptive_alpaca_farm", "coef": 0.0}, "0 stays 0 for ever"),
        ({"controller": "pid", "coef": 0.0}, "0 stays 0 for ever"),
        ({"controller": "dual", "coef": 0.0}, "0 stays 0 for ever"),
        ({"controller": "dual", "coef": 11.0, "bounds": (1e-4, 10.0)}, "bounds"),
        ({"top_k": 50}, "top_k=50"),
        ({"top_p": 0.9}, "top_p=0.9"),
        ({"top_k": 50, "controller": "linear", "coef": 0.0}, "top_k=50"),
        ({"reference": "synced", "controller": "dual"}, "falls back to 0"),
        ({"reference": "synced", "controller": "path"}, "optima of the KL to one policy"),
        ({"reference": "ema", "controller": "path"}, "use kl/reference=sft"),
        ({"controller": "path", "coef": 0.0, "top_k": 50}, "top_k=50"),
    ],
)
def test_what_is_refused(change: dict[str, Any], reason: str) -> None:
    (only,) = faults(**GOOD | change)
    assert reason in only
    assert only.endswith(".")


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "abs", "k1_clamped"])
def test_no_double_kl(estimator: str) -> None:
    (only,) = faults(**GOOD | {"estimator": estimator, "placement": "both"})
    assert "twice" in only


def test_all_faults_come_together() -> None:
    found = faults(
        **GOOD
        | {
            "placement": "loss",
            "controller": "dual",
            "coef": 0.0,
            "top_k": 5,
            "reference": "synced",
        }
    )
    assert len(found) == 4


def test_rules_and_controllers_need_no_torch() -> None:
    code = "import sys, rlhf.kl.rules, rlhf.kl.path; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_controller_is_steered_by_sampled_log_ratios_whatever_the_estimator():
    settings = {"estimator": "exact", "placement": "both", "controller": "adaptive", "top_k": 50}
    (fault,) = faults(**GOOD | settings)
    assert fault.startswith("generation.top_k=50 with kl/controller=adaptive")


class Steered:
    """A controller of a user's own that declares nothing."""

    target = 5.0


class Additive:
    properties = ControllerProperties(name="additive", follows_kl=True, multiplies=False)


class K1:
    """Not ours, for all its name."""


def test_a_piece_of_a_users_own_is_judged_by_what_it_is() -> None:
    def judged(change: dict[str, Any]) -> list[str]:
        settings = {k: TABLES[k][v] if k in TABLES else v for k, v in GOOD.items()}
        return judge(**settings | change)

    steered = controller_properties(Steered)
    assert "0 stays 0" in judged({"controller": steered, "coef": 0.0})[0]
    assert (
        "falls back to 0" in judged({"controller": steered, "reference": REFERENCES["synced"]})[0]
    )
    exact = {"estimator": ESTIMATORS["exact"], "placement": PLACEMENTS["both"]}
    assert "steered by log-ratios" in judged({"controller": steered, "top_k": 5} | exact)[0]
    assert judged({"controller": controller_properties(Additive()), "coef": 0.0}) == []
    assert controller_properties(object, {"target": 3.0}).multiplies
    assert judged({"estimator": estimator_properties(K1), "placement": PLACEMENTS["loss"]}) == []
    assert (
        "twice"
        in judged({"estimator": estimator_properties(K1()), "placement": PLACEMENTS["both"]})[0]
    )
    drawn = EstimatorProperties(name="mine", needs_policy_samples=False)
    assert judged({"estimator": drawn, "top_k": 5}) == []
    assert "kl/estimator=mine" in judged({"estimator": drawn, "placement": PLACEMENTS["both"]})[0]
