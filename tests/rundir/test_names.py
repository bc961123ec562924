import pytest

from rlhf.rundir.names import snake


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.Fixed", "fixed"),
        ("a.AdaptiveAlpacaFarm", "adaptive_alpaca_farm"),
        ("a.PID", "pid"),
        ("a.K1Clamped", "k1_clamped"),
        ("a.K3", "k3"),
    ],
)
def test_snake(path, name):
    assert snake(path) == name
