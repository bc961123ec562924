"""One thread, no hub, and a tiny random model with a tokenizer of single letters."""

import importlib.util
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest


@pytest.fixture(scope="session")
def tokenizer():
    from rlhf.data.tokenizers import word_level

    return word_level(["a a b c d e f g h", *"bcdefgh"])


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def architecture(request):
    return request.param


def tiny(tokenizer, architecture="llama", seed=0):
    """A random causal LM with 2 layers of 16: its logits are spread enough for KLs and rewards to differ."""
    import torch

    from rlhf.models.load import TinyModel

    torch.set_num_threads(1)
    model = TinyModel(architecture=architecture, hidden_size=16, layers=2, heads=2, seed=seed).causal_lm(tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.ndim > 1 else None
    return model


@pytest.fixture
def policy(tokenizer):
    return tiny(tokenizer)


@pytest.fixture
def other_policy(tokenizer):
    return tiny(tokenizer, seed=1)


@pytest.fixture(scope="session")
def rundirs():
    """The builder of run directories."""
    spec = importlib.util.spec_from_file_location("rundirs", Path(__file__).parent / "rundirs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> str:
    """A real MLflow database, made once: that takes seconds."""
    from rlhf.tracking import prepare_store

    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    prepare_store(uri, "unit")
    return uri


@pytest.fixture(scope="session")
def client(store):
    from rlhf.tracking.store import connect

    return connect(store)
