"""Runs that are asked to stop, in this process: by a signal, by their time limit, under Slurm."""

import os
import signal
import threading
from pathlib import Path

import pytest

from rlhf.rundir import noted
from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.signals import STOPPING, handled
from rlhf.rundir.status import read_status, run_state
from rlhf.runs.stopping import stoppable
from rlhf.tracking.state import read_state

SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


@pytest.fixture
def slurm(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("number", "code", "state", "words"),
    [
        (signal.SIGINT, 130, "stopped", "stopped, its state is saved in run"),
        (signal.SIGHUP, 143, "stopped", "stopped, its state is saved in run"),
        (signal.SIGUSR1, 143, "stopped", "stopped, its state is saved in run"),
        (signal.SIGALRM, 143, "time limit", "its time limit has passed, its state is saved in run"),
    ],
)
def test_outside_of_training_a_signal_ends_the_run_at_once(number, code, state, words):
    """One that comes twice at once does not break into the writing of its status."""
    with pytest.raises(Stopped, match=words) as stopped, stoppable(Path("run"), None):
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)
    assert (stopped.value.exit_code, stopped.value.state) == (code, state)


def test_no_piece_takes_it_for_an_error_of_its_own(run_in, monkeypatch, tmp_path):
    """Where constructors are tried, any `Exception` is a fault of the config."""
    from rlhf.runs import ready

    build = ready.build

    def interrupted(*args, **live):
        os.kill(os.getpid(), signal.SIGTERM)
        return build(*args, **live)

    monkeypatch.setattr(ready, "build", interrupted)
    with pytest.raises(Stopped):
        run_in(tmp_path / "run")
    status = read_status(tmp_path / "run")
    assert (status["state"], status["exit_code"], status["error"]) == ("stopped", 143, None)


def test_one_that_comes_behind_the_last_file_ends_a_finished_run(
    run_in, monkeypatch, tmp_path, store, client
):
    """Its summary is there: nobody makes it again, so that MLflow would call it killed for good."""
    conclude = noted.conclude

    def interrupted(directory, summary):
        conclude(directory, summary)
        os.kill(os.getpid(), signal.SIGTERM)

    tracked = ["tracking=mlflow", f"tracking.uri={store}", "tracking.experiment=unit"]
    monkeypatch.setattr(noted, "conclude", interrupted)
    with pytest.raises(Stopped):
        run_in(tmp_path / "run", *tracked, without="tracking")
    status, state = read_status(tmp_path / "run"), read_state(tmp_path / "run")
    assert (status["state"], status["exit_code"], state["closed"]) == ("finished", 0, "FINISHED")
    assert client.get_run(state["run_id"]).info.status == "FINISHED"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGALRM])
def test_a_signal_under_slurm_costs_nothing(run_in, stop_at, slurm, tmp_path, number):
    """Saved at the boundary of the iteration, by ours alone; gone on with to the same bytes."""
    whole = run_in(tmp_path / "whole")
    handlers = [signal.getsignal(getattr(signal, name)) for name in STOPPING]
    stop_at("ppo", 2, number)
    with pytest.raises(Stopped) as stopped:
        run_in(tmp_path / "cut")
    assert stopped.value.exit_code == 143
    assert handlers == [signal.getsignal(getattr(signal, name)) for name in STOPPING]
    state = run_state(tmp_path / "cut")
    overdue = number == signal.SIGALRM
    assert (state.state, state.exit_code) == ("time limit" if overdue else "stopped", 143)
    saved = sorted(path.name for path in (tmp_path / "cut").rglob("*.ckpt"))
    assert saved == ["iteration-000001.ckpt", "iteration-000002.ckpt"]
    assert run_in(tmp_path / "cut")["policy_sha256"] == whole["policy_sha256"]
    one, two = (tmp_path / name / "metrics.jsonl" for name in ("whole", "cut"))
    assert one.read_bytes() == two.read_bytes()


def test_lightning_handles_no_signal(run_in, slurm, monkeypatch, tmp_path):
    """Not even between its set-up and the first iteration, nor those it knows of no purpose for."""
    from rlhf.callbacks.recorder import Recorder

    seen = {}

    class Looks(Recorder):
        def setup(self, trainer, pl_module, stage):
            seen["setup"] = {n: signal.getsignal(n) for n in signal.valid_signals()}
            super().setup(trainer, pl_module, stage)

        def _write(self, module):
            seen["training"] = {n: signal.getsignal(n) for n in signal.valid_signals()}
            super()._write(module)

    monkeypatch.setattr("rlhf.stages.fit.Recorder", Looks)
    before = {n: signal.getsignal(n) for n in signal.valid_signals()}
    run_in(tmp_path / "run")
    ours = {getattr(signal, name) for name in STOPPING}
    for handlers in seen.values():
        assert {n for n in before if handlers[n] is not before[n]} == ours
    assert {seen["training"][n].__wrapped__.__func__ for n in ours} == {Recorder._ask}
    assert {seen["setup"][n].__module__ for n in ours} == {"rlhf.runs.stopping"}


def test_what_lightnings_slurm_plugin_left_does_not_break_the_start(
    run_in, slurm, tmp_path, caplog
):
    """It took the `.sha256` for version 1256 of a checkpoint, and looked for that."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("hpc_ckpt_1.ckpt", "hpc_ckpt_1.sha256"):
        (run / name).write_text("saved in mid-iteration")
    assert run_in(run)["status"] == "finished"
    assert not [*run.glob("hpc_ckpt_*")]
    assert "hpc_ckpt_1.ckpt is removed" in caplog.text


def test_a_run_of_its_own_has_a_time_limit(run_in, tmp_path):
    run_in(tmp_path / "stages", "stage=reward_model")  # made by now, whichever test was first
    with pytest.raises(Stopped, match="its time limit has passed"):
        run_in(tmp_path / "run", "time_limit=3s", "ppo.iterations=1000000")
    assert run_state(tmp_path / "run").state == "time limit"
    rows = [row["iteration"] for row in read_jsonl(tmp_path / "run" / "metrics.jsonl")]
    last = max((tmp_path / "run" / "checkpoints").glob("*.ckpt"))
    assert last.name == f"iteration-{rows[-1]:06d}.ckpt" and rows == [*range(len(rows))]


def test_a_time_limit_that_cannot_be_kept_is_said(tmp_path, caplog):
    def elsewhere():
        with stoppable(tmp_path, "1s"):
            pass

    with handled(STOPPING, lambda *_: None):  # the main thread's: the alarm would be its own
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert "time_limit=1s is not kept" in caplog.text


@pytest.mark.slow
def test_strings_end_responses_wherever_they_are_drawn(run_in, stop_at, tmp_path):
    """In training, evaluations and best of n; a run that is stopped goes on to the same bytes."""
    lines = ["generation.stop=[t]", "best_of_n=default", "best_of_n.samples=2"]
    lines += ["best_of_n.prompts=4", f"paths.artifacts={tmp_path / 'artifacts'}"]
    files = ("metrics.jsonl", "samples.jsonl", "best_of_n.json")
    run_in(tmp_path / "whole", *lines, without="best_of_n")
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut", *lines, without="best_of_n")
    run_in(tmp_path / "cut", *lines, without="best_of_n")
    for name in files:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    samples = read_jsonl(tmp_path / "whole" / "samples.jsonl")
    ended = ["t" in "".join(sample["tokens"]) for sample in samples]
    assert any(ended) and not any("t" in sample["response"] for sample in samples)
    assert all(
        s["ended"] and "t" in s["tokens"][-1] for s, e in zip(samples, ended, strict=True) if e
    )
