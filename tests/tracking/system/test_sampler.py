"""What the machine does, by the side of a run."""

import json
import time

import pytest
import torch

from rlhf.rundir.files import read_jsonl
from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.state import read_state
from rlhf.tracking.system import sampler
from rlhf.tracking.system.sample import FILE, Machine, gpus


def test_a_look_is_of_this_machine(tmp_path):
    machine = Machine(tmp_path)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    seen = machine.look()
    assert 20 < seen["process_cpu_utilization_percentage"] <= 110
    assert 0 < seen["cpu_utilization_percentage"] <= 100
    assert 0 < seen["system_memory_usage_percentage"] < 100
    assert 10 < seen["process_memory_usage_megabytes"] < seen["system_memory_usage_megabytes"] * 2
    assert seen["network_receive_megabytes"] >= 0


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_gpus_of_this_process_are_seen(tmp_path):
    pytest.importorskip("pynvml", reason="pip install nvidia-ml-py")
    seen = Machine(tmp_path).look()
    assert 0 < seen["gpu_0_memory_usage_percentage"] <= 100
    assert 0 <= seen["gpu_0_utilization_percentage"] <= 100


def test_trackers_share_a_sampler_and_a_later_start_counts_on(tmp_path):
    for before in (0, 2):
        sampler.start(tmp_path, 0.2)
        sampler.start(tmp_path, 0.2)  # a second tracker of the same run
        end = time.monotonic() + 30
        while len(read_jsonl(tmp_path / FILE)) < before + 2 and time.monotonic() < end:
            time.sleep(0.05)
        sampler.stop(tmp_path)
        assert tmp_path in sampler._running
        rows = read_jsonl(tmp_path / FILE)
        time.sleep(0.15)
        sampler.stop(tmp_path)
        assert read_jsonl(tmp_path / FILE) == rows  # each has the last look
        assert [row["sample"] for row in rows] == list(range(len(rows)))
        assert len(rows) >= before + 2 and not sampler._running


def test_it_looks_as_often_as_any_tracker_asks(tmp_path):
    for every in (600, 0.2, 600):
        sampler.start(tmp_path, every)
    assert sampler._running[tmp_path].every == 0.2
    for _ in range(3):
        sampler.stop(tmp_path)
    assert not sampler._running


def test_half_a_line_that_a_kill_left_is_dropped(tmp_path):
    (tmp_path / FILE).write_text('{"sample": 0, "time": 1.0}\n{"sample": 1, "ti')
    sampler.start(tmp_path, 0.2)
    time.sleep(0.3)
    sampler.stop(tmp_path)
    rows = read_jsonl(tmp_path / FILE)
    assert [row["sample"] for row in rows] == list(range(len(rows))) and len(rows) >= 2


def test_mlflow_has_it_where_its_page_looks_once_each(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    seen = [
        {"sample": i, "time": 1_700_000_000 + i, "cpu_utilization_percentage": 10.0 * i}
        for i in range(3)
    ]
    rundirs.append(directory / FILE, *seen)
    for _ in range(2):  # the second has all of it to send again
        tracker = MLflowTracker(store, "unit")
        tracker.begin(directory, name="r", params={}, tags={})
        assert tracker.finish("FINISHED", timeout=60) is None
        state = read_state(directory)
        assert state["system"] == 2
        (directory / "tracking.json").write_text("{")  # damaged: what arrived is not known
    key = "system/cpu_utilization_percentage"
    rows = client.get_metric_history(state["run_id"], key)
    assert [(row.step, row.value, row.timestamp) for row in rows] == [
        (i, 10.0 * i, 1_700_000_000_000 + 1000 * i) for i in range(3)
    ]


def test_a_run_is_looked_at_while_it_is_tracked(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    tracker = MLflowTracker(store, "unit", system_metrics=0.2)
    tracker.begin(directory, name="r", params={}, tags={})
    time.sleep(0.5)
    assert tracker.finish("FINISHED", timeout=60) is None
    metrics = client.get_run(read_state(directory)["run_id"]).data.metrics
    assert metrics["system/system_memory_usage_percentage"] > 0
    assert not sampler._running


@pytest.mark.parametrize("lines", ['{"sample": 0, "time": 1.0}\n{"sa#ple": 1}\n', "{\n{\n"])
def test_a_number_is_not_given_twice_where_the_last_line_is_damaged(tmp_path, lines):
    (tmp_path / FILE).write_text(lines)
    sampler.start(tmp_path, 0.2)
    time.sleep(0.3)
    sampler.stop(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()[2:]]
    assert [row["sample"] for row in rows] == list(range(2, len(rows) + 2)) and rows
