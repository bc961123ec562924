"""What stays for those who are easily overlooked: runs that are only noted, sweeps that have jobs
to begin, stores and points that are named alone, folders that cannot be read."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rlhf.clean.needs import Needs
from rlhf.clean.sight import look as sight
from rlhf.clean.survey import survey
from rlhf.clean.things import Wish
from rlhf.inventory import take_inventory
from rlhf.rundir.disk.owner import this_process
from rlhf.rundir.disk.uses import User, users_file
from rlhf.rundir.files import write_json
from tests.clean.conftest import OTHER, REWARD, SFT

ROOTS = (Path("outputs"), Path("sweeps"))


def look(*roots, **wish):
    """path -> why it stays; empty where it goes"""
    _, things = survey([*ROOTS, *roots], Wish(roots=roots or ROOTS, **wish))
    return {str(thing.path): "" if thing.goes else thing.why for thing in things}


def note(place, directory, host=None):
    with users_file(place).open("a") as file:
        file.write(json.dumps(User(host or os.uname().nodename, str(directory))._asdict()) + "\n")


def sweep_at_work(scene, *jobs, **states):
    folder = scene.home / "sweeps/s"
    folder.mkdir(parents=True, exist_ok=True)
    listed = [{"name": name, "overrides": list(jobs)} for name in states]
    write_json(folder / "sweep.json", {"name": "s", "overrides": list(jobs), "jobs": listed})
    jobs = {name: {"state": state} for name, state in states.items()}
    facts = {**this_process(), "time": 2e9, "working": True, "jobs": jobs}
    write_json(folder / "launcher.json", facts)


def test_what_a_run_elsewhere_has_half_made_stays(scene):
    """It was stopped while it trained SFT in a store that two outputs folders share."""
    work = scene.work("sft", SFT)
    path = str(work.relative_to(scene.home))
    assert look()[path] == ""
    run = scene.run("second/study/a", state="stopped", sft={"epochs": 9})
    note(work.with_name(SFT), run)
    assert look()[path] == f"{run} goes on with it"
    users_file(work.with_name(SFT)).unlink()
    note(work.with_name(SFT), "/gone/a", host="another")
    assert look()[path] == "/gone/a on another uses it"


def test_an_artifact_that_a_run_in_sight_is_noted_for_stays(scene):
    """The network under an adapter of its own: no file of a stopped run names it."""
    folder = scene.artifact("backbone", OTHER)
    run = scene.run("outputs/study/a", state="stopped", parents={"sft": SFT})
    path = f"outputs/artifacts/backbone/{OTHER}"
    assert look()[path] == ""
    note(folder, run)
    assert look()[path] == "1 run in sight needs it, 1 of them not finished"


def test_what_an_artifact_stands_on_that_is_not_removed_stays(scene):
    """Somebody keeps notes in it."""
    scene.artifact("sft", SFT)
    folder = scene.artifact("reward_model", REWARD, parents={"sft": SFT})
    assert set(look().values()) == {""}
    (folder / "notes.txt").write_text("mine")
    assert look()[f"outputs/artifacts/sft/{SFT}"] == f"reward_model-{REWARD} stands on it"


def test_a_sweep_between_two_of_its_jobs(scene):
    """One that it has not come to may stand on any stage, and go on from a shorter job."""
    scene.artifact("sft", SFT)
    scene.artifact("ppo", OTHER)
    scene.run("sweeps/s/a", checkpoints=(4,))
    sweep_at_work(scene, a="finished", b="waiting")
    assert look() == {
        f"outputs/artifacts/ppo/{OTHER}": "",  # nothing stands on a policy that it does not name
        "sweeps/s/a/checkpoints": "a job of its sweep has yet to begin, and may go on from them",
        f"outputs/artifacts/sft/{SFT}": "a job of sweeps/s has yet to begin and may need it",
    }
    sweep_at_work(scene, f"sft.path=outputs/artifacts/ppo/{OTHER}", a="finished", b="finished")
    assert {path: why for path, why in look().items() if why} == {
        f"outputs/artifacts/ppo/{OTHER}": "sweeps/s names it"
    }


@pytest.mark.parametrize("named", ["other/outputs", "other/outputs/artifacts"])
def test_a_store_that_is_named_from_another_place(scene, named):
    """The runs beside it, of a version that noted no users, are looked for."""
    scene.artifact("sft", SFT, root="other/outputs/artifacts")
    scene.run("other/sweeps/s/a", parents={"sft": SFT}, checkpoints=(4,))
    path = f"other/outputs/artifacts/sft/{SFT}"
    assert look(Path(named)) == {path: "1 run in sight needs it"}


@pytest.mark.parametrize("named", ["outputs/study/p/points/q", "outputs/study/p/points"])
def test_a_point_that_is_named_alone(scene, named):
    run = scene.run("outputs/study/p", state="stopped", parents={"sft": SFT})
    point = scene.run("outputs/study/p/points/q", checkpoints=(2,))
    summary = json.loads((point / "summary.json").read_text())
    path = {"path": {"run": "p", "point": 0, "points": 2}}
    (point / "summary.json").write_text(json.dumps({**summary, **path, "name": "q"}))
    for place in (Path(named), run / "points"):
        (why,) = look(place).values()
        assert why == "the path that it is a point of is stopped, and goes on from them"


def test_a_place_below_a_folder_called_artifacts(scene, monkeypatch):
    """Its outputs are no artifact of a store: the run in them is seen."""
    scene.artifact("sft", SFT, root="artifacts/me/outputs/artifacts")
    scene.run("artifacts/me/outputs/study/a", parents={"sft": SFT})
    monkeypatch.chdir(scene.home / "artifacts/me")
    needs = Needs(sight([*ROOTS, Path("outputs/artifacts")]))
    assert [needs.of_artifact(a) for a in needs.inventory.artifacts] == ["1 run in sight needs it"]


def test_a_folder_that_cannot_be_read_may_hold_who_needs_it(scene):
    scene.artifact("sft", SFT)
    work = scene.work("sft", OTHER)
    inventory = replace(take_inventory(*ROOTS), unread=(Path("outputs/hers"),))
    needs, words = Needs(inventory), "outputs/hers cannot be read, and may hold a run that needs it"
    assert [needs.of_artifact(a) for a in inventory.artifacts] == [words]
    assert [needs.of_work(a) for a in inventory.leftovers] == [words] and work.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(scene):
    scene.artifact("sft", SFT)
    closed = scene.home / "outputs/hers"
    closed.mkdir(mode=0)
    assert take_inventory(*ROOTS).unread == (Path("outputs/hers"),)
    note(scene.home / f"outputs/artifacts/sft/{SFT}", closed / "study/a")
    assert look()[f"outputs/artifacts/sft/{SFT}"]
    closed.chmod(0o700)
