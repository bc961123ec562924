import pytest

from rlhf.compare.choice.candidates import candidates
from rlhf.compare.read.runs import gather
from rlhf.compare.statistics.study import study


@pytest.fixture
def there():
    """The study and the candidates of the runs in a directory."""

    def read(directory):
        whole = study(directory, gather([directory]))
        return whole, candidates(whole)

    return read


@pytest.fixture
def runs(rundirs, tmp_path):
    """Writes runs of one seed, by their coefficients: (KL, gold) of error 0.1 each; proxy 1."""

    def write(ends, **more):
        for coef, (kl, gold) in ends.items():
            rundirs.make_run(tmp_path / f"c{coef:g}", coef=coef, kl=kl, gold=gold, **more)
        return tmp_path

    return write
