"""Small whole runs, as tests/pipeline makes them, in a folder of their own as a user would start them."""

import importlib.util
import sys
from pathlib import Path

import pytest

NAME = "rlhf_test_pipeline_conftest"
if NAME not in sys.modules:
    spec = importlib.util.spec_from_file_location(NAME, Path(__file__).parents[1] / "pipeline" / "conftest.py")
    sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
pipeline = sys.modules[NAME]
artifacts, run_in, stop_at = pipeline.artifacts, pipeline.run_in, pipeline.stop_at


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where the commands are given. The code counts as committed, whatever the repository that the tests run from is like."""
    from rlhf.pipeline import manifest

    monkeypatch.setattr(manifest, "git", lambda: {"revision": "b" * 40, "dirty": False})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reproduce(home, capfd):
    """reproduce(argument, ...) -> (exit code, everything it said)"""

    def go(*arguments):
        from rlhf.reproduce.cli import main

        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return code, said.out + said.err

    return go
