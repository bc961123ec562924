"""What another launcher is handed, and what is read of its jobs afterwards."""

import io
import json
from contextlib import redirect_stderr

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from rlhf.commands.runs import run as cli
from rlhf.config.compose import compose, validate
from rlhf.config.composition.plan import Plan, PlannedJob, plan
from rlhf.config.composition.session import session
from rlhf.rundir.status import sweep_jobs
from rlhf.sweeps.job import JobFailed
from rlhf.sweeps.launchers.foreign import hand_over
from rlhf.sweeps.multirun import sweep


@pytest.fixture(scope="module")
def found():
    jobs = [
        ((f"seed={seed}",), validate(compose(["tracking=none", "sweep=s", f"seed={seed}"])))
        for seed in (0, 1)
    ]
    return Plan(sweep=True, name="s", jobs=[PlannedJob(own, cfg) for own, cfg in jobs])


def end(found, directory, index):
    place = directory / found.jobs[index].config.paths.run_name
    place.mkdir(parents=True)
    (place / "summary.json").write_text('{"status": "finished"}')


def handed_over(found, directory, go):
    out = io.StringIO()
    with redirect_stderr(out):
        code = hand_over(found, directory, ["seed=0,1"], go)
    return code, out.getvalue()


def test_how_jobs_ended_is_read_from_their_directories(found, tmp_path):
    place = tmp_path / "s"

    def go():
        assert json.loads((place / "launcher.json").read_text())["working"]
        assert [job.state for job in sweep_jobs(place)] == ["waiting", "waiting"]
        end(found, place, 0)
        raise JobFailed("the second")

    code, said = handed_over(found, place, go)
    assert code == 1
    assert "1 finished, 1 not started" in said
    assert [job["overrides"] for job in json.loads((place / "sweep.json").read_text())["jobs"]] == [
        ["seed=0"],
        ["seed=1"],
    ]
    code, said = handed_over(found, place, lambda: end(found, place, 1))
    assert code == 0
    assert "1 finished before" in said
    assert handed_over(found, place, lambda: pytest.fail("nothing is missing"))[0] == 0


def test_a_launcher_that_gives_up_is_told(found, tmp_path):
    def go():
        raise RuntimeError("the cluster is gone")

    code, said = handed_over(found, tmp_path / "s", go)
    assert code == 1
    assert "the launcher gave up: RuntimeError: the cluster is gone" in said


def test_ctrl_c_ends_it(found, tmp_path):
    def go():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        handed_over(found, tmp_path / "s", go)
    assert stop.value.code == 130
    assert json.loads((tmp_path / "s" / "launcher.json").read_text())["working"] is False


class Notes(Launcher):
    """A launcher whose every job fails. It notes down what it was given."""

    batches: list[list[list[str]]] = []

    def setup(self, **parts):
        pass

    def launch(self, job_overrides, initial_job_idx):
        self.batches.append([list(own) for own in job_overrides])
        failed = JobReturn(status=JobStatus.FAILED)
        failed.return_value = RuntimeError("a bad day")
        return [failed for _ in job_overrides]


def test_a_failed_batch_of_a_grid_stops_no_other_and_finished_jobs_are_not_launched(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "my" / "hydra" / "launcher" / "notes.yaml").write_text(
        "_target_: hydra_plugins.tests.Notes\n"
    )
    monkeypatch.setitem(Plugins.instance().class_name_to_class, "hydra_plugins.tests.Notes", Notes)
    monkeypatch.setattr(Notes, "batches", [])
    lines = [
        "hydra/launcher=notes",
        "tracking=none",
        "sweep=s",
        "kl.coef=0,0.1,0.10,0.2",
        "hydra.sweeper.max_batch_size=2",
        "+hydra.launcher.jobs=2",  # as experiments do, for the local launcher
    ]

    def go():
        with session(tmp_path / "my") as hydra:
            found = plan(hydra, lines, multirun=True)
            return found, sweep(hydra, found, lines, cli.task)[0]

    found, code = go()
    launched = [[own[-1] for own in batch] for batch in Notes.batches]
    assert (code, launched) == (1, [["kl.coef=0", "kl.coef=0.1"], ["kl.coef=0.2"]])
    end(found, tmp_path / "sweeps" / "s", 0)
    Notes.batches.clear()
    assert go()[1] == 1
    assert [[own[-1] for own in batch] for batch in Notes.batches] == [
        ["kl.coef=0.1"],
        ["kl.coef=0.2"],
    ]
