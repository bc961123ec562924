import pytest


@pytest.fixture
def gamed(rundirs, tmp_path):
    """Proxy rises as the coefficient falls; gold is best at 0.05 and lower at 0, where it fell
    during training. SFT: gold 1, se 0.1."""
    directory = tmp_path / "sweeps" / "gamed"
    directory.mkdir(parents=True)
    ends = {0.0: (5.0, 1.2, 20.0), 0.05: (3.0, 2.4, 6.0), 0.2: (1.0, 1.5, 2.0)}
    for coef, (proxy, gold, kl) in ends.items():
        peak = 2.3 if coef == 0.0 else None
        rundirs.make_run(
            directory / f"kl.coef={coef}",
            coef=coef,
            proxy=proxy,
            gold=gold,
            kl=kl,
            iterations=4,
            peak=peak,
        )
    return directory
