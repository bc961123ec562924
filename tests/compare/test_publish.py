"""What is delivered before a comparison is attached, while other processes are at work."""

import time
from threading import Event, Thread

import pytest

from rlhf.compare.publish import _ended
from rlhf.compare.read import load
from rlhf.tracking.ended.deliver import mend_states
from rlhf.tracking.state import open_state


@pytest.fixture
def stages(rundirs, tmp_path):
    """The runs of a sweep, and three stages: made, half-made, and never tracked."""
    root = tmp_path / "artifacts"
    config = {"paths": {"artifacts": str(root)}}
    rundirs.make_run(tmp_path / "sweep" / "a", config=config)
    for name in ("made", "half.work", "untracked"):
        place = rundirs.make_run(root / "sft" / name)
        if name != "untracked":
            uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
            open_state(place, uri=uri, experiment="unit", name=name, params={}, tags={})
    return load(tmp_path / "sweep"), root / "sft"


def test_a_stage_that_is_being_made_is_left_to_its_maker(stages):
    runs, folder = stages
    assert _ended(runs) == [folder / "made", runs[0].directory]


def test_stages_that_are_published_meanwhile_stop_nothing(stages):
    runs, folder = stages
    work, over = folder / "half.work", Event()

    def publish():
        while not over.is_set():
            work.rename(folder / "half")
            (folder / "half").rename(work)

    publisher = Thread(target=publish)
    publisher.start()
    try:
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            mend_states([*_ended(runs), work])
    finally:
        over.set()
        publisher.join()
