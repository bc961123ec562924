"""The removal: under locks, looked at once more, aside first."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from rlhf.clean import remove as removal
from rlhf.clean.remove import BUSY, OTHER, remove
from rlhf.clean.survey import survey
from rlhf.clean.things import Wish
from rlhf.rundir.disk.aside import strays
from rlhf.rundir.disk.uses import hold, last_used, users, users_file
from rlhf.rundir.lock import owned
from rlhf.rundir.noted import has_undone
from rlhf.stages.artifacts import ArtifactStore
from tests.clean.conftest import OTHER as ANOTHER, REWARD, SFT, everything

ROOTS = (Path("outputs"), Path("sweeps"))
WISH = Wish(roots=ROOTS)


def look():
    return survey(ROOTS, WISH)[1]


def removed(things=None, between=lambda: None):
    """path -> why it is still there. `between`: what happens after the look."""
    found = look() if things is None else things
    between()
    return {str(outcome.thing.path): outcome.left for outcome in remove(found, look)}


def test_what_goes_is_gone_and_the_rest_is_as_it_was(scene):
    scene.artifact("sft", SFT)
    scene.artifact("sft", ANOTHER)
    scene.run("outputs/study/a", checkpoints=(3, 4), parents={"sft": SFT})
    scene.run("outputs/study/b", state="stopped", checkpoints=(3,), parents={"sft": SFT})
    before = everything(".")
    assert removed() == {
        "outputs/study/a/checkpoints": "",
        f"outputs/artifacts/sft/{ANOTHER}": "",
    }
    gone = ("outputs/study/a/checkpoints/", f"outputs/artifacts/sft/{ANOTHER}/")
    assert everything(".") == {k: v for k, v in before.items() if not k.startswith(gone)}
    assert removed() == {}


def test_a_run_at_work_keeps_its_directory(scene):
    run = scene.run("outputs/study/a", checkpoints=(4,))
    things = look()
    with FileLock(run / ".lock").acquire():
        assert removed(things) == {"outputs/study/a/checkpoints": BUSY}
    assert (run / "checkpoints" / "iteration-000004.ckpt").exists()


def test_a_run_that_is_made_again_meanwhile_keeps_its_checkpoints(scene):
    """Its summary was taken away, so the same command makes it again."""
    run = scene.run("outputs/study/a", checkpoints=(4,))
    left = removed(between=lambda: (run / "summary.json").unlink())
    assert left == {"outputs/study/a/checkpoints": OTHER}


def test_an_artifact_that_a_run_took_up_meanwhile_stays(scene):
    folder = scene.artifact("sft", SFT)

    def begin():
        scene.run("outputs/study/a", state="stopped", parents={"sft": SFT})

    assert removed(between=begin) == {f"outputs/artifacts/sft/{SFT}": OTHER}
    assert folder.is_dir()


def test_an_artifact_that_a_living_process_holds_stays(scene):
    """Wherever its run lies: nothing in sight names it."""
    folder = scene.artifact("sft", SFT)
    store = ArtifactStore(folder.parents[1], user=scene.home / "far/run")
    assert store.get("sft", SFT, lambda work: pytest.fail("it is there")) == folder
    assert removed() == {f"outputs/artifacts/sft/{SFT}": BUSY}
    assert [user.directory for user in users(folder)] == [str(scene.home / "far/run")]
    del store  # the run has ended, and its directory is not there
    assert removed() == {f"outputs/artifacts/sft/{SFT}": ""}
    assert users(folder) == [] and users_file(folder).exists()


def test_one_that_is_being_made_stays(scene):
    work = scene.work("sft", SFT)
    things = look()
    with FileLock(work.with_name(f"{SFT}.lock")).acquire():
        assert removed(things) == {str(work.relative_to(scene.home)): BUSY}
    assert removed() == {str(work.relative_to(scene.home)): ""}


def test_who_comes_while_it_is_removed_waits_and_makes_it_again(scene, monkeypatch):
    """The second look holds the locks: a run that asks for the artifact then gets a new one."""
    folder = scene.artifact("sft", SFT)
    made, threads = [], []

    def ask():
        def make(work):
            (work / "config.json").write_text("{}")
            made.append(work)
            return {"metrics": {}}

        ArtifactStore(folder.parents[1]).get("sft", SFT, make)

    def slow_look():
        things = look()
        threads.append(threading.Thread(target=ask))
        threads[0].start()
        threads[0].join(0.3)
        assert threads[0].is_alive() and not made  # it waits
        return things

    (outcome,) = remove(look(), slow_look)
    threads[0].join(30)
    assert outcome.left == "" and len(made) == 1
    assert (folder / "config.json").exists() and not (folder / "model.safetensors").exists()


def test_a_kill_between_rename_and_removal_leaves_nothing_that_looks_whole(scene, monkeypatch):
    """And the next command clears it."""
    folder = scene.artifact("sft", SFT)
    run = scene.run("outputs/study/a", checkpoints=(4,))
    dead = f"{2**22 - 1}@{os.uname().nodename}"
    monkeypatch.setattr(
        removal, "aside_of", lambda path: path.with_name(f".{path.name}.{dead}.tmp")
    )

    def killed(place):
        next(Path(place).rglob("*.*")).unlink()  # one file is gone
        raise OSError("killed")

    monkeypatch.setattr(removal.shutil, "rmtree", killed)
    assert all(why == "killed" for why in removed().values())
    assert not folder.exists() and not (run / "checkpoints").exists()
    assert ArtifactStore(folder.parents[1]).find("sft", SFT) is None
    monkeypatch.undo()
    monkeypatch.chdir(scene.home)
    assert [path for path, left in removed().items() if not left] == [
        f"outputs/artifacts/sft/.{SFT}.{dead}.tmp",
        f"outputs/study/a/.checkpoints.{dead}.tmp",
    ]
    assert removed() == {}


def test_a_folder_on_its_way_out_goes_with_the_next_run_too(scene):
    """A finished run in which it lies is not whole: the next command would look at it for ever."""
    run = scene.run("outputs/study/a")
    aside = run / f".checkpoints.{2**22 - 1}@{os.uname().nodename}.tmp"
    aside.mkdir()
    (aside / "iteration-000004.ckpt").write_bytes(b"x")
    assert has_undone(run)
    with owned(run):
        assert not has_undone(run)


def test_what_is_removed_now_is_nobodys_stray(scene, monkeypatch):
    """Though the folder itself was written to long ago."""
    folder = scene.artifact("sft", SFT)
    os.utime(folder, (1e9, 1e9))
    seen = []
    monkeypatch.setattr(removal.shutil, "rmtree", lambda place: seen.extend(strays(place.parent)))
    assert removed() == {f"outputs/artifacts/sft/{SFT}": ""}
    assert seen == []


def test_an_old_artifact_that_no_user_was_noted_for(scene):
    """Looking for its users makes their file, which is no use of it."""
    folder = scene.artifact("sft", SFT)
    long_ago = time.time() - 9 * 86400
    os.utime(folder / "manifest.json", (long_ago, long_ago))
    old = Wish(roots=ROOTS, before=time.time() - 7 * 86400)
    (outcome,) = remove(survey(ROOTS, old)[1], lambda: survey(ROOTS, old)[1])
    assert outcome.left == "" and not folder.exists()


def test_a_use_is_noted_again(scene):
    """By the same run: its last use counts."""
    folder = scene.artifact("sft", SFT)
    hold(folder, scene.home / "run")
    os.utime(users_file(folder), (1e9, 1e9))
    assert last_used(folder) == 1e9
    hold(folder, scene.home / "run")
    assert last_used(folder) > time.time() - 60


def test_a_link_within_is_removed_and_not_what_it_names(scene):
    """In an artifact that goes: a link to a folder of somebody's own, hidden from its listing."""
    precious = scene.home / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    folder = scene.artifact("sft", SFT)
    (folder / ".link").symlink_to(precious)
    assert removed() == {f"outputs/artifacts/sft/{SFT}": ""}
    assert (precious / "thesis.tex").exists()


def test_a_place_that_became_a_link_meanwhile_stays(scene):
    run = scene.run("outputs/study/a", checkpoints=(4,))
    precious = scene.run("precious", checkpoints=(4,)) / "checkpoints"

    def swap():
        shutil.rmtree(run / "checkpoints")
        (run / "checkpoints").symlink_to(precious)

    assert removed(between=swap) == {"outputs/study/a/checkpoints": OTHER}
    assert len([*precious.iterdir()]) == 2


def test_a_disk_that_refuses(scene, monkeypatch):
    folder = scene.artifact("reward_model", REWARD)

    def refuse(path, target):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "rename", refuse)
    (why,) = removed().values()
    assert "this user may not write there" in why and folder.is_dir()


def test_users_are_noted_once(tmp_path):
    folder = tmp_path / "store" / "sft" / SFT
    first, second = hold(folder, tmp_path / "run"), hold(folder, tmp_path / "run")
    assert [user.directory for user in users(folder)] == [str(tmp_path / "run")]
    assert first is not None and second is not None
