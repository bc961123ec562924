import json

import pytest

from rlhf.compare.text.report import again
from rlhf.config.compose import compose, validate
from rlhf.rundir import lock
from rlhf.sweeps.job import Job, Ledger, Outcome, job_of, note_flags, write_sweep


@pytest.fixture(scope="module")
def planned():
    return [
        (
            (f"kl.coef={coef}",),
            validate(compose(["tracking=none", "sweep=s", f"kl.coef={coef}"])),
        )
        for coef in (0, 0.1)
    ]


def test_a_job_knows_its_sweep_and_its_place(planned, tmp_path):
    job = job_of(planned[1][1], ["kl.coef=0.1"], tmp_path / "s")
    assert job.directory == tmp_path / "s" / planned[1][1].paths.run_name
    assert job.plain["sweep"] == "s"
    assert job.plain["paths"]["run_dir"] == str(job.directory)
    assert validate(job.plain).paths.run_name == job.name


def test_sweep_json_keeps_what_an_earlier_command_added(planned, tmp_path):
    first, second = (job_of(cfg, own, tmp_path / "s") for own, cfg in planned)
    write_sweep(tmp_path / "s", [first], study="q", overrides=["kl.coef=0"])
    write_sweep(tmp_path / "s", [second], study="q", overrides=["kl.coef=0.1"])
    written = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert written == {
        "name": "s",
        "study": "q",
        "overrides": ["kl.coef=0.1"],
        "jobs": [
            {"name": first.name, "overrides": ["kl.coef=0"]},
            {"name": second.name, "overrides": ["kl.coef=0.1"]},
        ],
    }


def test_sweep_json_has_the_options_of_the_last_command(planned, tmp_path):
    place = tmp_path / "s"
    note_flags(place, ["--config-dir=mine"])
    assert not place.exists()  # it did not come so far
    job = job_of(planned[0][1], ["kl.coef=0"], place)
    write_sweep(place, [job], study="q", overrides=["kl.coef=0"])
    note_flags(place, ["--config-dir=my conf", "--allow-targets=mine"])
    write_sweep(place, [job], study="q", overrides=["kl.coef=0"])
    assert again(place)[0] == "rlhf '--config-dir=my conf' --allow-targets=mine -m kl.coef=0"
    note_flags(place, [])
    assert again(place)[0] == "rlhf -m kl.coef=0"
    (place / "sweep.json").write_text("{half of")
    note_flags(place, ["--config-dir=mine"])
    assert (place / "sweep.json").read_text() == "{half of"  # whoever mends it has it


def test_a_command_that_is_refused_leaves_sweep_json_to_the_one_at_work(
    planned, tmp_path, monkeypatch
):
    """That one adds jobs to it, as a search does: what is read before and written after loses
    them."""
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    place, path = tmp_path / "s", tmp_path / "s" / "sweep.json"
    with lock.owned(place):
        job = job_of(planned[0][1], ["kl.coef=0"], place)
        write_sweep(place, [job], study="q", overrides=["kl.coef=0"])
        before = path.read_bytes()
        note_flags(place, ["--config-dir=other"])
        assert path.read_bytes() == before
    note_flags(place, ["--config-dir=mine"])
    assert json.loads(path.read_text())["flags"] == ["--config-dir=mine"]


def test_what_an_earlier_parent_had_under_way_is_forgotten(tmp_path):
    """It is gone, or there would be no second one; how jobs ended is kept, but for those that
    run again elsewhere."""
    states = {"a": "running", "b": "waiting", "c": "time limit", "d": "failed"}
    told = {name: {"state": state, "exit_code": None} for name, state in states.items()}
    (tmp_path / "launcher.json").write_text(json.dumps({"pid": 1, "working": True, "jobs": told}))
    ledger = Ledger(tmp_path, forget={"d"})
    ledger.write(working=True)
    assert json.loads((tmp_path / "launcher.json").read_text())["jobs"] == {"c": told["c"]}


def test_a_file_that_cannot_be_written_stops_no_sweep(tmp_path):
    """launcher.json is a folder here, as good as a full disk; when there is room again the next
    look writes it."""
    (tmp_path / "launcher.json").mkdir()
    ledger = Ledger(tmp_path)
    outcomes = [Outcome(Job(name="a", directory=tmp_path / "a", plain={}))]
    ledger.update(outcomes)
    ledger.write(working=False)
    (tmp_path / "launcher.json").rmdir()
    ledger.update(outcomes)
    assert json.loads((tmp_path / "launcher.json").read_text())["jobs"]["a"]["state"] == "waiting"
