"""Event files as TensorBoard itself reads them."""

import json
import os
from threading import Barrier, Thread

import pytest

from rlhf.tracking.ended.deliver import deliver, pending
from rlhf.tracking.services.events import EventFiles, scalars
from rlhf.tracking.services.table import other_links
from rlhf.tracking.services.tensorboard import TensorBoard, TensorBoardSink
from rlhf.tracking.spool.delivery import Delivery
from rlhf.tracking.state import read_own

pytest.importorskip("tensorboard", reason="pip install 'rlhf[tensorboard]'")
KEY = "eval/reward/proxy"


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return events.Reload()


def points(folder, key=KEY):
    return [(event.step, round(event.value, 4)) for event in read(folder).Scalars(key)]


def follow(logdir, directory, *, status="FINISHED", **shown):
    tracker = TensorBoard(str(logdir))
    said = {"name": "kl.coef=0.05", "params": {"kl.coef": 0.05}, "tags": {"study": "unit"}}
    tracker.begin(directory, **said | shown)
    tracker.notify()
    return tracker.finish(status, timeout=60)


def folder_of(logdir, directory):
    return logdir / read_own(directory, TensorBoardSink.file)["folder"]


def test_a_finished_run_arrives_whole(rundirs, tmp_path):
    directory, logdir = rundirs.make_run(tmp_path / "run", proxy=3.0), tmp_path / "tb"
    rundirs.append(
        directory / "samples.jsonl", {"iteration": 3, "prompt": "a|b", "response": "c\nd"}
    )
    params = {"kl.coef": 0.05, "seed": 0, "rerun": False, "sweep": None, "hub.token": "hf_abc"}
    assert follow(logdir, directory, params=params, tags={"sweep": "s", "stage": "ppo"}) is None
    assert not pending(directory)
    folder = logdir / "s" / "kl.coef=0.05"
    events = read(folder)
    # a straight line from 0 to 3, at the times of timings.jsonl
    assert [(e.step, e.value, e.wall_time) for e in events.Scalars(KEY)] == [
        (i, float(i), 1_700_000_000 + i) for i in range(4)
    ]
    assert points(folder, "final/reward/proxy") == [(3, 3.0)]
    assert "final/reward/proxy_se" not in events.Tags()["scalars"]
    (table,) = events.Tensors("samples")
    assert "| a\\|b | c d | 3 |" in table.tensor_proto.string_val[0].decode()
    (status,) = events.Tensors("status")
    assert status.tensor_proto.string_val[0] == b"FINISHED"
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"kl.coef" in everything and b"hf_abc" not in everything
    assert other_links(directory) == {"tensorboard": f"tensorboard --logdir {_shown(logdir)}"}


def _shown(path):
    return os.path.relpath(path)


def test_a_run_that_is_stopped_and_finished_at_the_same_iteration_has_its_last_word(
    rundirs, tmp_path
):
    directory, logdir = rundirs.make_run(tmp_path / "run", proxy=3.0), tmp_path / "tb"
    for status in ("KILLED", "FINISHED"):
        assert follow(logdir, directory, status=status) is None
    events = read(folder_of(logdir, directory))
    said = [each.tensor_proto.string_val[0] for each in events.Tensors("status")]
    assert said == [b"KILLED", b"FINISHED"]
    assert points(folder_of(logdir, directory), "final/reward/proxy") == [(3, 3.0)]


def test_settings_are_listed(rundirs, tmp_path):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    directory, logdir = rundirs.make_run(tmp_path / "run"), tmp_path / "tb"
    follow(logdir, directory, params={"kl.coef": 0.05, "kl.controller": "pid", "sweep": None})
    metadata = read(folder_of(logdir, directory)).summary_metadata
    content = metadata["_hparams_/session_start_info"].plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["kl.coef"].number_value == 0.05
    assert hparams["kl.controller"].string_value == "pid"
    assert hparams["sweep"].string_value == "null"


def test_cut_back_and_grown_again_is_delivered_once(rundirs, tmp_path):
    directory, logdir = rundirs.make_run(tmp_path / "run", proxy=3.0), tmp_path / "tb"
    metrics = directory / "metrics.jsonl"
    whole = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(whole[:3]))
    assert follow(logdir, directory, status="KILLED") is None
    folder = folder_of(logdir, directory)
    assert points(folder) == [(0, 0.0), (1, 1.0), (2, 2.0)]
    metrics.write_text("".join(whole))  # from the checkpoint of iteration 1 on, the same again
    assert follow(logdir, directory) is None
    assert folder_of(logdir, directory) == folder and len(list(folder.iterdir())) == 2
    assert points(folder) == [(i, float(i)) for i in range(4)]
    assert len(read(folder).Tensors("config.yaml")) == 1


def begun(rundirs, tmp_path, **made):
    """A delivery that a kill has ended: nobody closes it."""
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0, **made)
    state = TensorBoard(str(tmp_path / "tb")).opened(directory, name="r", params={}, tags={})
    delivery = Delivery(TensorBoardSink(directory, state))
    delivery.advance()
    delivery.release()
    return directory


def test_a_crash_between_writing_and_noting_writes_nothing_twice(rundirs, tmp_path):
    directory = begun(rundirs, tmp_path)
    path = directory / TensorBoardSink.file
    state = read_own(directory, TensorBoardSink.file)
    path.write_text(json.dumps(state | {"delivered": 0}))
    assert deliver(directory) is None
    assert points(folder_of(tmp_path / "tb", directory)) == [(i, float(i)) for i in range(4)]


def test_an_iteration_that_a_kill_has_cut_is_written_again(rundirs, tmp_path):
    """A record that is not whole, and before it one of an iteration whose last record is not
    there: readers drop it, as TensorBoard does."""
    directory = begun(rundirs, tmp_path, iterations=3)
    folder = folder_of(tmp_path / "tb", directory)
    metrics = directory / "metrics.jsonl"
    files = EventFiles(folder)
    assert files.last == 3
    cut = scalars({KEY: 99.0})
    files.write(4, 1_700_000_004_000, cut)
    files.flush()
    files.close()
    newest = max(folder.glob("events*"))
    newest.write_bytes(newest.read_bytes() + b"\x20\0\0\0")
    assert (4, 99.0) in points(folder)
    rundirs.append(metrics, rundirs.line(4, eval__reward__proxy=4.0))
    assert deliver(directory) is None
    assert points(folder) == [(i, float(i)) for i in range(5)]


def test_a_crash_before_the_end_is_noted_writes_no_end_twice(rundirs, tmp_path):
    directory, logdir = rundirs.make_run(tmp_path / "run", proxy=3.0), tmp_path / "tb"
    follow(logdir, directory)
    state = read_own(directory, TensorBoardSink.file)
    (directory / TensorBoardSink.file).write_text(json.dumps(state | {"closed": None}))
    assert pending(directory) and deliver(directory) is None
    folder = folder_of(logdir, directory)
    assert points(folder, "final/reward/proxy") == [(3, 3.0)]
    assert len(read(folder).Tensors("status")) == 1


def test_two_runs_of_a_name_have_a_folder_each(rundirs, tmp_path):
    logdir = tmp_path / "tb"
    runs = [rundirs.make_run(tmp_path / name, proxy=p) for name, p in (("a", 3.0), ("b", 6.0))]
    for run in runs:
        follow(logdir, run)
    first, second = (folder_of(logdir, run) for run in runs)
    assert first != second
    assert points(first)[-1] == (3, 3.0) and points(second)[-1] == (3, 6.0)


def test_two_runs_of_a_name_that_begin_at_once_have_a_folder_each(rundirs, tmp_path):
    runs = [rundirs.make_run(tmp_path / name) for name in ("a", "b")]
    for turn in range(40):
        tracker, both, folders = TensorBoard(str(tmp_path / f"tb{turn}")), Barrier(2), []

        def begin(sink, both=both, folders=folders):
            both.wait(30)
            folders.append(sink.open(resume=True)["folder"])

        said = {"name": "kl.coef=0.05", "params": {}, "tags": {"study": "unit"}}
        sinks = [TensorBoardSink(run, tracker.opened(run, **said)) for run in runs]
        threads = [Thread(target=begin, args=(sink,)) for sink in sinks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(folders)) == 2


def test_a_folder_that_was_removed_is_written_again(rundirs, tmp_path):
    import shutil

    directory, logdir = rundirs.make_run(tmp_path / "run", proxy=3.0), tmp_path / "tb"
    follow(logdir, directory)
    folder = folder_of(logdir, directory)
    shutil.rmtree(folder)
    assert pending(directory) and deliver(directory) is None and not pending(directory)
    assert points(folder) == [(i, float(i)) for i in range(4)]
    shutil.rmtree(logdir)  # all of it: nobody wants it
    assert not pending(directory)


def test_what_was_seen_of_the_machine_has_steps_of_its_own(rundirs, tmp_path):
    directory, logdir = rundirs.make_run(tmp_path / "run"), tmp_path / "tb"
    seen = [{"sample": i, "time": 1_700_000_000 + i, "cpu": 10.0 * i} for i in range(2)]
    rundirs.append(directory / "system.jsonl", *seen)
    follow(logdir, directory, status="KILLED")
    rundirs.append(directory / "system.jsonl", {"sample": 2, "time": 1_700_000_002, "cpu": 20.0})
    follow(logdir, directory)
    folder = folder_of(logdir, directory) / "system"
    assert points(folder, "system/cpu") == [(0, 0.0), (1, 10.0), (2, 20.0)]


def test_a_folder_that_takes_nothing_stops_no_run(rundirs, tmp_path):
    (tmp_path / "tb").write_text("a file")
    directory = rundirs.make_run(tmp_path / "run")
    warning = follow(tmp_path / "tb", directory)
    assert warning.startswith(f"TensorBoard in {tmp_path / 'tb'} did not take all of")
    (tmp_path / "tb").unlink()
    assert deliver(directory) is None
    assert len(points(folder_of(tmp_path / "tb", directory))) == 4
