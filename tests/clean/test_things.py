"""What goes and what stays, of folders made by hand."""

import json
import os
import time
from pathlib import Path

import pytest

from rlhf.clean import stores
from rlhf.clean.survey import survey
from rlhf.clean.things import Wish
from rlhf.rundir.disk.uses import User, users_file
from tests.clean.conftest import BEST, OTHER, REWARD, SFT

ROOTS = (Path("outputs"), Path("sweeps"))


def look(*roots, also=(), **wish):
    """path -> (goes, why) of all that could go"""
    _, things = survey([*ROOTS, *roots, *also], Wish(roots=roots or ROOTS, **wish))
    return {str(thing.path): (thing.goes, thing.why) for thing in things}


def goes(*roots, **wish):
    return sorted(path for path, (gone, _) in look(*roots, **wish).items() if gone)


# --- checkpoints


def test_checkpoints_of_finished_runs_go_and_no_others(scene):
    scene.run("outputs/study/a", checkpoints=(4,))
    scene.run("outputs/study/b", state="stopped", checkpoints=(2, 3), parents={"sft": SFT})
    scene.run("outputs/study/c", state="failed", checkpoints=(2, 3), parents={"sft": SFT})
    scene.run("sweeps/s/d", state="running", checkpoints=(2,), parents={"sft": SFT})
    scene.run("sweeps/s/e", checkpoints=(4,))
    scene.run("sweeps/s/f", state="running", pid=2**22 - 1, checkpoints=(2,))  # it was cut
    things = look()
    assert [p for p, (gone, _) in things.items() if gone] == [
        "outputs/study/a/checkpoints",
        "sweeps/s/e/checkpoints",
    ]
    assert things["outputs/study/b/checkpoints"][1] == "its run is stopped, and goes on from them"
    assert things["outputs/study/c/checkpoints"][1] == "its run is failed, and goes on from them"
    assert things["sweeps/s/d/checkpoints"][1] == "its run is at work"
    assert things["sweeps/s/f/checkpoints"][1] == "its run is cut, and goes on from them"


def test_checkpoints_of_points_of_a_path_that_is_not_finished_stay(scene):
    path = {"path": {"run": "p", "point": 0, "points": 2}}
    run = scene.run("outputs/study/p", state="stopped", checkpoints=(4,), parents={"sft": SFT})
    point = scene.run("outputs/study/p/points/q", checkpoints=(2,))
    summary = json.loads((point / "summary.json").read_text())
    (point / "summary.json").write_text(json.dumps({**summary, **path, "name": "q"}))
    things = look()
    (reason,) = (why for place, (_, why) in things.items() if "points/q" in place)
    assert reason == "the path that it is a point of is stopped, and goes on from them"
    assert goes() == [] and run.is_dir()


def test_checkpoints_that_may_mend_a_run_stay(scene):
    """Its records lost a row since: the last checkpoint has a copy of them."""
    run = scene.run("outputs/study/a", checkpoints=(4,))
    rows = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(rows[:-1]))
    assert look()["outputs/study/a/checkpoints"] == (
        False,
        "metrics.jsonl has 4 of 5 lines: it may be put back from them",
    )


def test_checkpoints_with_a_file_of_somebodys_own_stay(scene):
    run = scene.run("outputs/study/a", checkpoints=(4,))
    (run / "checkpoints" / "best.ckpt").write_text("mine")
    assert look()["outputs/study/a/checkpoints"] == (
        False,
        "it holds files that are not ours: best.ckpt",
    )


@pytest.mark.parametrize("content", ["{", '{"kind": "run"}', "[]"])
def test_checkpoints_of_a_run_with_a_damaged_manifest_stay(scene, content):
    run = scene.run("outputs/study/a", checkpoints=(4,))
    (run / "manifest.json").write_text(content)
    assert goes() == []


def test_a_folder_of_others_is_left_alone(scene):
    for name in ("outputs/mine/checkpoints", "outputs/artifacts/sft/notes", "sweeps/mine/a"):
        (scene.home / name).mkdir(parents=True)
        (scene.home / name / "iteration-000001.ckpt").write_text("mine")
    assert goes() == []


# --- artifacts


def test_artifacts_that_a_run_stands_on_stay(scene):
    """Each for one kind of run: finished, stopped, failed; what they stand on with them."""
    scene.artifact("sft", SFT)
    scene.artifact("sft", OTHER)
    scene.artifact("reward_model", REWARD, parents={"sft": SFT})
    scene.artifact("reward_model", BEST)
    scene.run("outputs/study/a", parents={"reward_model": REWARD})
    scene.run("outputs/study/b", state="stopped", parents={"sft": OTHER})
    things = look()
    assert goes() == [f"outputs/artifacts/reward_model/{BEST}"]
    assert things[f"outputs/artifacts/reward_model/{BEST}"][1] == "no run in sight needs it"
    store = "outputs/artifacts"
    assert things[f"{store}/reward_model/{REWARD}"][1] == "1 run in sight needs it"
    assert things[f"{store}/sft/{SFT}"][1] == f"reward_model-{REWARD} stands on it"
    assert things[f"{store}/sft/{OTHER}"][1] == ("1 run in sight needs it, 1 of them not finished")


def test_an_artifact_that_was_tracked_while_it_was_made_goes(scene):
    folder = scene.artifact("sft", SFT)
    for name in ("tracking.json", ".tracking.json", "tracking.wandb.json", "tracking.json.damaged"):
        (folder / name).write_text("{}")
    (folder / "system.jsonl").write_text("")
    assert goes() == [f"outputs/artifacts/sft/{SFT}"]


def test_artifacts_that_a_config_names_by_path_stay(scene):
    """An SFT policy, the scorer's model and an adapter's network, each given from outside."""
    for own in (SFT, OTHER, REWARD):
        scene.artifact("sft", own)
    scene.run("outputs/study/a", sft={"path": f"outputs/artifacts/sft/{SFT}"})
    scorer = {"_target_": "x.Y", "path": str(scene.home / f"outputs/artifacts/sft/{OTHER}")}
    scene.run("outputs/study/b", scorer=scorer)
    adapted = scene.run("outputs/study/c")
    (adapted / "policy").mkdir()
    base = {"base_model_name_or_path": str(scene.home / f"outputs/artifacts/sft/{REWARD}")}
    (adapted / "policy" / "adapter_config.json").write_text(json.dumps(base))
    assert goes() == []


def test_what_best_of_n_measured_for_runs_stays_with_what_it_was_measured_of(scene):
    scene.artifact("sft", SFT)
    scene.artifact("best_of_n", BEST, parents={"sft": SFT})
    scene.artifact("best_of_n", OTHER, parents={"sft": OTHER})
    scene.run("outputs/study/a", parents={"sft": SFT}, best_of_n={"samples": 4})
    assert goes() == [f"outputs/artifacts/best_of_n/{OTHER}"]


def test_a_run_that_has_not_said_what_it_needs_keeps_what_it_may_need(scene):
    """Stopped while SFT was trained: an SFT policy of its settings, and all that is half-made of
    them; not what has other settings."""
    scene.artifact("sft", SFT)
    scene.artifact("sft", OTHER, sft={"epochs": 9})
    scene.work("sft", REWARD)
    scene.work("sft", BEST, sft={"epochs": 9})
    scene.run("outputs/study/a", state="stopped")
    assert goes() == [f"outputs/artifacts/sft/{OTHER}", f"outputs/artifacts/sft/{BEST}.work"]
    assert look()[f"outputs/artifacts/sft/{REWARD}.work"][1].endswith("may go on with it")


def test_a_run_whose_manifest_is_damaged_keeps_all(scene):
    scene.artifact("sft", SFT)
    run = scene.run("outputs/study/a", parents={"sft": OTHER})
    assert len(goes()) == 1
    (run / "manifest.json").write_text("{")
    assert goes() == []


def test_an_artifact_that_is_not_recognised_stays(scene):
    """Another's manifest, a broken one, an own file in it; without the last two it would go."""
    (scene.artifact("sft", SFT) / "notes.txt").write_text("mine")
    (scene.artifact("sft", OTHER) / "manifest.json").write_text("{}")
    moved = scene.artifact("sft", REWARD)
    moved.rename(moved.with_name(BEST))
    (scene.home / "outputs/artifacts/sft/0123").mkdir()
    things = look()
    assert goes() == []
    assert things[f"outputs/artifacts/sft/{SFT}"][1].endswith("not ours: notes.txt")
    assert things[f"outputs/artifacts/sft/{BEST}"][1].startswith("not recognised: its manifest")
    assert things["outputs/artifacts/sft/0123"][1] == "not recognised: manifest.json is gone"


def test_the_policy_of_a_run_that_is_gone_goes(scene):
    """While the run is there it stays, though nothing else names it."""
    run = scene.run("outputs/study/a", parents={"ppo": SFT})
    scene.artifact("ppo", SFT, run="outputs/study/a")
    assert goes() == []
    run.rename(scene.home / "elsewhere")
    things = look()
    assert things[f"outputs/artifacts/ppo/{SFT}"] == (
        True,
        "the policy of outputs/study/a, which is not there any more",
    )


# --- runs in other places


def test_a_run_in_another_outputs_folder_that_uses_the_store(scene):
    """It is noted beside the artifact when it gets it."""
    folder = scene.artifact("sft", SFT)
    run = scene.run("second/study/a", state="stopped", parents={"sft": SFT})
    assert len(goes()) == 1
    note = {"host": os.uname().nodename, "directory": str(run)}
    users_file(folder).write_text(json.dumps(note) + "\n{half a li")
    assert look()[f"outputs/artifacts/sft/{SFT}"] == (
        False,
        "1 run in sight needs it, 1 of them not finished",
    )


def test_a_user_on_another_machine(scene):
    folder = scene.artifact("sft", SFT)
    note = User("another", "/gone/study/a")
    users_file(folder).write_text(json.dumps(note._asdict()) + "\n")
    assert look()[f"outputs/artifacts/sft/{SFT}"] == (
        False,
        "/gone/study/a on another uses it",
    )


def test_a_sweep_that_was_copied_elsewhere(scene):
    """Its original gone, it is seen where it is named, and counts in full."""
    scene.artifact("sft", SFT)
    scene.run("archive/s/a", parents={"sft": SFT}, checkpoints=(4,))
    assert len(goes()) == 1
    assert goes(also=[Path("archive")]) == []
    assert goes(Path("archive/s")) == ["archive/s/a/checkpoints"]


# --- links


def test_links_are_not_followed(scene):
    """A run, a store's stage, an artifact and checkpoints that lie elsewhere."""
    outside = scene.run("disk/run", checkpoints=(4,))
    store = scene.artifact("sft", SFT, root="disk/store")
    (scene.home / "outputs/study").mkdir(parents=True)
    (scene.home / "outputs/study/link").symlink_to(outside)
    (scene.home / "outputs/artifacts/sft").mkdir(parents=True)
    (scene.home / f"outputs/artifacts/sft/{SFT}").symlink_to(store)
    (scene.home / "outputs/artifacts/reward_model").symlink_to(store.parent)
    run = scene.run("outputs/study/a")
    (run / "checkpoints").symlink_to(outside / "checkpoints")
    assert goes() == []
    assert look()["outputs/study/link/checkpoints"][1] == "it is reached by a symbolic link"


def test_a_root_may_be_a_link(scene):
    scene.run("disk/outputs/study/a", checkpoints=(4,))
    (scene.home / "outputs").symlink_to(scene.home / "disk" / "outputs")
    assert goes() == ["outputs/study/a/checkpoints"]


# --- what processes left


def test_half_written_files_of_processes_that_are_gone(scene):
    run = scene.run("outputs/study/a")
    folder = scene.artifact("sft", SFT)
    scene.run("outputs/study/b", parents={"sft": SFT})
    host = os.uname().nodename
    dead, alive = 2**22 - 1, os.getpid()
    for place in (run, folder.parent):
        (place / f".metrics.jsonl.{dead}@{host}.tmp").write_text("x" * 100)
        (place / f".status.json.{alive}@{host}.tmp").write_text("x")
        (place / f".status.json.{dead}@another.tmp").write_text("x")
    aside = folder.parent / f".{OTHER}.{dead}@{host}.tmp"
    aside.mkdir()
    assert goes() == [
        f"outputs/artifacts/sft/.{OTHER}.{dead}@{host}.tmp",
        f"outputs/artifacts/sft/.metrics.jsonl.{dead}@{host}.tmp",
        f"outputs/study/a/.metrics.jsonl.{dead}@{host}.tmp",
    ]


def test_what_was_set_aside(scene):
    """A damaged artifact goes; one without a manifest says nothing of whose it is."""
    damaged = scene.artifact("sft", SFT)
    damaged.rename(damaged.with_name(f"{SFT}.damaged"))
    incomplete = scene.home / f"outputs/artifacts/sft/{SFT}.incomplete-7"
    incomplete.mkdir()
    (incomplete / "model.safetensors").write_text("x")
    scene.run("outputs/study/a", parents={"sft": SFT})
    assert goes() == [f"outputs/artifacts/sft/{SFT}.damaged"]


# --- what is asked for


def test_kinds_and_places_and_ages(scene):
    for name in ("a", "b"):
        scene.run(f"sweeps/s/{name}", checkpoints=(4,))
    scene.artifact("sft", SFT)
    assert len(goes()) == 3
    assert goes(kinds=("artifacts",)) == [f"outputs/artifacts/sft/{SFT}"]
    assert goes(Path("sweeps/s/a")) == ["sweeps/s/a/checkpoints"]
    assert goes(Path("sweeps")) == ["sweeps/s/a/checkpoints", "sweeps/s/b/checkpoints"]
    things = look(before=time.time() - 60)
    assert things[f"outputs/artifacts/sft/{SFT}"] == (False, "it is not old enough")


def test_what_another_command_clears_meanwhile_is_left_out(tmp_path, monkeypatch):
    gone = tmp_path / ".metrics.jsonl.1.tmp"
    monkeypatch.setattr(stores, "strays", lambda folder: [gone])
    assert not [*stores.strays_in(tmp_path)]
