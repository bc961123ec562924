import os

from rlhf.config.compose import compose, validate
from rlhf.sweeps.launchers.prepare import preloads


def test_the_server_imports_what_the_jobs_need(monkeypatch):
    """MLflow where runs are tracked, kept quiet by the environment."""
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    modules = preloads([validate(compose(["tracking=none"]))])
    assert modules[0] == "rlhf.runs.preload"
    assert "rlhf.data.sources.reviews" in modules
    assert "mlflow" not in modules and "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    assert "mlflow" in preloads([validate(compose())])
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"
