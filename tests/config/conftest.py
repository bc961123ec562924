import pytest

from rlhf.config.composition.composer import Composer
from rlhf.config.composition.overrides import Groups
from rlhf.config.composition.plan import plan
from rlhf.config.composition.session import session


@pytest.fixture(scope="session")
def planned():
    """plan(...) of a command line, in one Hydra for all tests."""
    with session() as hydra:
        composer = Composer(hydra, Groups(hydra.config_loader))
        yield lambda *lines, multirun=False: plan(
            hydra, lines, multirun=multirun, composer=composer
        )
