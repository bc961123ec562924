"""The notebooks of examples/: stored without outputs, and run from the first cell to the last."""

import json
import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(path, kind="code"):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["own_reward_and_controller", "sweep_and_report"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path):
    """An output would be out of date by the next change, and its numbers another machine's."""
    for cell in cells(path):
        assert cell["outputs"] == [] and cell["execution_count"] is None, source(cell)
    keys = {
        key
        for kind in ("code", "markdown")
        for cell in cells(path, kind)
        for key in cell["metadata"]
    }
    assert keys == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_plain_python_with_text_between(path):
    for cell in cells(path):
        compile(source(cell), str(path), "exec")
    assert len(cells(path, "markdown")) >= len(cells(path)) - 1
    assert max(len(line) for cell in cells(path) for line in source(cell).splitlines()) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.delenv("RLHF_ALLOW_TARGETS", raising=False)
    places = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()  # it raises what a cell raises
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/svg+xml" in output.get("data", {}) for output in shown)  # the plot
    assert (tmp_path / "outputs").is_dir()
