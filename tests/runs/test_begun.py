import logging

import pytest

from rlhf.rundir.errors import RunFailed
from rlhf.rundir.read import read_json

CUT = ["ppo.iterations=2", "evaluation.every=1", "checkpoints.after_finish=last"]


def cut(directory):
    """As a kill after the last iteration leaves it."""
    (directory / "summary.json").unlink()


@pytest.fixture
def begun(run_in, tmp_path):
    directory = tmp_path / "run"
    run_in(directory, *CUT)
    cut(directory)
    return directory


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\x00", None])
def test_a_damaged_manifest_is_written_again_where_the_config_is_this_runs(
    begun, run_in, caplog, content
):
    path = begun / "manifest.json"
    before = read_json(path)
    path.unlink() if content is None else path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert run_in(begun, *CUT)["status"] == "finished"
    assert f"{path} is written again" in caplog.text
    assert read_json(path)["hash"] == before["hash"]
    assert (begun / "manifest.json.damaged").exists() == (content is not None)


@pytest.mark.parametrize(
    ("old", "new"), [(b'"data": "', b'"data": "f'), (b'"hash": "', b'"hash": "f')]
)
def test_a_manifest_that_is_not_what_was_written_is_not_believed(begun, run_in, caplog, old, new):
    """It is whole JSON, and would say that the data or the config is another."""
    path = begun / "manifest.json"
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert run_in(begun, *CUT)["status"] == "finished"
    assert f"{path} is written again" in caplog.text
    assert (begun / "manifest.json.damaged").exists()


def test_without_manifest_and_config_nothing_says_whose_it_is(begun, run_in):
    for name in ("manifest.json", "config.yaml"):
        (begun / name).write_text("")
    with pytest.raises(RunFailed, match="nothing says by which run: move it away to start anew"):
        run_in(begun, *CUT)


def test_the_config_of_another_run_is_refused(begun, run_in):
    (begun / "manifest.json").write_text("")
    with pytest.raises(RunFailed, match="belongs to another config"):
        run_in(begun, *CUT, "kl.coef=0.3")


@pytest.mark.parametrize("content", [b"", None])
def test_a_finished_run_without_its_manifest_is_asked_for_its_config(
    run_in, tmp_path, caplog, content
):
    """Each time: nothing is written."""
    directory = tmp_path / "run"
    summary, path = run_in(directory, *CUT), directory / "manifest.json"
    path.unlink() if content is None else path.write_bytes(content)
    for _ in range(2):
        caplog.clear()
        assert run_in(directory, *CUT) == summary
        assert f"{path} is lost or damaged: config.yaml is this run's" in caplog.messages[-1]
        with pytest.raises(RunFailed, match="belongs to another config"):
            run_in(directory, *CUT, "kl.coef=0.3")
    assert path.exists() == (content is not None)
    assert not (directory / "manifest.json.damaged").exists()
