import importlib.util
import sys
from pathlib import Path

import pytest


def _load(name: str, path: Path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def rundirs():
    """The builder of run directories."""
    return _load("rlhf_test_rundirs", Path(__file__).parents[1] / "tracking" / "rundirs.py")


@pytest.fixture
def gamed(rundirs, tmp_path):
    """Proxy rises as the coefficient falls; gold is best at 0.05 and lower at 0, where it fell during training. SFT: gold 1, se 0.1."""
    directory = tmp_path / "sweeps" / "gamed"
    directory.mkdir(parents=True)
    ends = {0.0: (5.0, 1.2, 20.0), 0.05: (3.0, 2.4, 6.0), 0.2: (1.0, 1.5, 2.0)}
    for coef, (proxy, gold, kl) in ends.items():
        peak = 2.3 if coef == 0.0 else None
        rundirs.make_run(directory / f"kl.coef={coef}", coef=coef, proxy=proxy, gold=gold, kl=kl, iterations=4, peak=peak)
    return directory
