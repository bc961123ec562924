import pytest

from rlhf.config.compose import compose, validate
from tests.conftest import SMALL


@pytest.fixture(scope="session")
def cfg():
    """A small run, with everything relative to the folder where a test is."""
    return validate(compose(SMALL))
