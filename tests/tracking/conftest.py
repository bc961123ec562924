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
    return _load("rlhf_test_rundirs", Path(__file__).parent / "rundirs.py")


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> str:
    """A real database, made once: that takes seconds."""
    from rlhf.tracking import prepare_store

    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    prepare_store(uri, "unit")
    return uri


@pytest.fixture(scope="session")
def client(store):
    from rlhf.tracking.store import connect

    return connect(store)
