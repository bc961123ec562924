"""Several that come to one directory at a time, and one that has another name by now."""

from threading import Barrier, Thread

import pytest

from rlhf.rundir.status import write_status
from rlhf.tracking.mlflow import MLflowSink
from rlhf.tracking.spool.delivery import Delivery
from rlhf.tracking.spool.late import deliver_late
from rlhf.tracking.state import open_state, read_own


@pytest.fixture
def owing(rundirs, store, tmp_path):
    """A finished run that MLflow has nothing of yet."""
    directory = rundirs.make_run(tmp_path / "run")
    write_status(directory, state="finished", exit_code=0)
    open_state(directory, uri=store, experiment="unit", name="r", params={}, tags={"stage": "ppo"})
    return directory


def test_two_that_deliver_a_run_at_a_time_send_it_once(owing, client):
    both, ends = Barrier(2), []

    class Sink(MLflowSink):
        def __init__(self, directory, state):
            super().__init__(directory, state)
            both.wait(60)  # each has read that it is owed

        def end(self, status, **when):
            super().end(status, **when)
            ends.append(status)

    threads = [Thread(target=deliver_late, args=(owing, Sink)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ends == ["FINISHED"]
    assert client.get_run(read_own(owing)["run_id"]).info.status == "FINISHED"


@pytest.mark.parametrize("begun", [False, True])
def test_nothing_is_written_where_the_directory_was(owing, begun):
    """A stage is published, or a point set aside, while another process delivers it."""
    delivery = Delivery(MLflowSink(owing, read_own(owing)))
    if begun:
        delivery.advance()
    owing.rename(owing.with_name("moved"))
    with pytest.raises(FileNotFoundError):
        delivery.advance() if not begun else delivery.close("FINISHED")
    assert not owing.exists()
    owing.mkdir()
    with pytest.raises(FileNotFoundError, match="is another than it was"):
        delivery.advance() if not begun else delivery.close("FINISHED")
    assert not [*owing.iterdir()]
    delivery.release()
