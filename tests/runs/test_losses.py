"""Damage between two commands: it is said, nothing is lost in silence, and the numbers are those of
a run that nobody touched."""

import shutil
import signal
from pathlib import Path

import pytest

from rlhf.callbacks.checkpoint import checkpoint_path
from rlhf.rundir.errors import RunFailed, Stopped
from rlhf.rundir.files import read_jsonl, write_json
from rlhf.rundir.noted import is_complete
from rlhf.rundir.read import read_json
from rlhf.rundir.records import FILES
from rlhf.stages.provenance import manifest
from rlhf.stages.provenance.legs import FILE as LEGS
from rlhf.stages.provenance.whole import sealed

FIRST = Path(__file__).parents[1] / "stages" / "golden" / "first"
KEEP = "checkpoints.after_finish=last"
# all of them but the times
SAME = ("metrics.jsonl", "samples.jsonl", "by_prompt.jsonl")


@pytest.fixture
def cut(run_in, stop_at, tmp_path):
    """A run that was stopped at iteration 3 of 4."""
    stop_at("ppo", 3, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut")
    return tmp_path / "cut"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def contents(directory):
    return {name: (directory / name).read_bytes() for name in SAME}


def test_all_checkpoints_damaged_is_said_and_begins_again(run_in, cut, tmp_path, caplog):
    whole = run_in(tmp_path / "whole")
    for path in (cut / "checkpoints").glob("*.ckpt"):
        flip(path)
    caplog.clear()
    again = run_in(cut)
    assert again["policy_sha256"] == whole["policy_sha256"]
    assert contents(cut) == contents(tmp_path / "whole")
    named = [m for m in caplog.messages if "is not used" in m]
    assert [checkpoint_path(cut, i).name in m for i, m in zip((3, 2), named, strict=True)]
    assert any(
        m.startswith(f"{cut} begins again at iteration 0") and "1 to 3 are made again" in m
        for m in caplog.messages
    )
    last = read_json(cut / "manifest.json")["legs"][-1]
    assert last["from_iteration"] == 0 and len(last["refused"]) == 2 and again["exact_resume"]


def test_records_that_were_lost_before_a_resume_are_put_back(run_in, cut, tmp_path, caplog):
    run_in(tmp_path / "whole")
    lines = (cut / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (cut / "metrics.jsonl").write_bytes(b"".join([lines[0], b"\x00\x00\n", *lines[2:]]))
    (cut / "samples.jsonl").write_bytes(b"")
    (cut / "by_prompt.jsonl").unlink()
    run_in(cut)
    assert contents(cut) == contents(tmp_path / "whole")
    assert len(read_jsonl(cut / "timings.jsonl")) == 5
    (message,) = [m for m in caplog.messages if "had lost or changed rows" in m]
    assert message.startswith(f"{cut}: metrics.jsonl and samples.jsonl and by_prompt.jsonl had")


@pytest.mark.parametrize(
    "name", [FILES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in FILES[1:])]
)
def test_a_finished_run_without_its_records_is_refused(run_in, tmp_path, name):
    directory = tmp_path / "run"
    summary, rows = run_in(directory), (directory / name).read_bytes()
    (directory / name).write_bytes(rows.partition(b"\n")[2])
    with pytest.raises(RunFailed) as error:
        run_in(directory)
    lines = rows.count(b"\n")
    assert f"{name} has {lines - 1} of {lines} lines" in str(error.value)
    assert "rerun=true" in str(error.value) and "summary.json" in str(error.value)
    assert read_json(directory / "summary.json") == summary
    (directory / "summary.json").unlink()
    assert run_in(directory)["policy_sha256"] == summary["policy_sha256"]
    assert len(read_jsonl(directory / name)) == lines


def test_a_finished_run_whose_other_files_are_damaged(run_in, tmp_path, caplog):
    """All of them whole JSON and YAML yet: a letter is another one."""
    directory = tmp_path / "run"
    run_in(directory)
    whole = {path: path.read_bytes() for path in directory.iterdir() if path.is_file()}

    def change(name, old, new):
        for path, data in whole.items():
            path.write_bytes(data)
        caplog.clear()
        assert old in whole[directory / name]
        (directory / name).write_bytes(whole[directory / name].replace(old, new, 1))
        assert not is_complete(directory)

    change("summary.json", b'"kl.controller"', b'"kl.controllev"')
    with pytest.raises(RunFailed, match=r"damaged: summary.json is not what was written. Nothing"):
        run_in(directory)
    for name, old, new, words in (
        ("legs.json", b'"threads"', b'"thread3"', "put back from manifest.json"),
        ("status.json", b'"finished"', b'"finishee"', "written again"),
        ("config.yaml", b"seed: ", b"sees: ", "it stays as it is"),
        ("data_report.json", b'"prompts"', b'"promptr"', "it stays as it is"),
    ):
        change(name, old, new)
        run_in(directory)
        assert f"{directory}: {name} is not what was written when it ended; {words}" in caplog.text
        assert is_complete(directory) == (words != "it stays as it is")
    assert (directory / "legs.json").read_bytes() == whole[directory / "legs.json"]
    change("manifest.json", b'"data": "', b'"data": "f')
    run_in(directory)
    assert "manifest.json is lost or damaged: config.yaml is this run's" in caplog.text


def test_a_finished_runs_policy_is_put_back_from_its_artifact_or_missed(run_in, tmp_path, caplog):
    directory = tmp_path / "run"
    run_in(directory, f"paths.artifacts={tmp_path / 'artifacts'}")
    (weights, config) = (directory / "policy" / n for n in ("model.safetensors", "config.json"))
    before = weights.read_bytes(), config.read_bytes()
    config.write_bytes(b"")
    weights.unlink()  # it is one file with the artifact's
    weights.write_bytes(b"x" * len(before[0]))
    run_in(directory, f"paths.artifacts={tmp_path / 'artifacts'}")
    assert (weights.read_bytes(), config.read_bytes()) == before
    assert "put back from the policy's artifact" in caplog.text
    (artifact,) = (tmp_path / "artifacts" / "ppo").glob("*/config.json")
    for path in (config, artifact):
        path.unlink()
    with pytest.raises(RunFailed, match=r"policy/config.json is gone. Nothing was changed"):
        run_in(directory, f"paths.artifacts={tmp_path / 'artifacts'}")


@pytest.mark.parametrize("name", SAME)
def test_rows_that_are_lost_while_it_trains_come_back(run_in, tmp_path, caplog, monkeypatch, name):
    """Somebody empties the file at iteration 2, which is not saved then."""
    from rlhf.callbacks import recorder

    directory, write = tmp_path / "run", recorder.write_status

    def empty(where, **status):
        write(where, **status)
        if (status.get("stage"), status.get("iteration")) == ("ppo", 2):
            (directory / name).write_bytes(b"")

    run_in(tmp_path / "whole")
    with monkeypatch.context() as somebody:
        somebody.setattr(recorder, "write_status", empty)
        with pytest.raises(RunFailed, match=f"{name} lost or changed rows while it trained"):
            run_in(directory)
    assert not (directory / "summary.json").exists()
    assert run_in(directory)["status"] == "finished"
    assert contents(directory) == contents(tmp_path / "whole")
    assert any(f"{name} had lost or changed rows up to iteration 1" in m for m in caplog.messages)
    assert read_json(directory / "manifest.json")["legs"][-1]["from_iteration"] == 1


def test_a_finished_run_that_kept_its_checkpoint_gets_its_records_back(run_in, tmp_path, caplog):
    directory = tmp_path / "run"
    summary, before = run_in(directory, KEEP), contents(directory)
    assert [p.name for p in sorted((directory / "checkpoints").iterdir())] == [
        "iteration-000004.ckpt",
        "iteration-000004.sha256",
    ]
    for name in SAME:
        (directory / name).write_bytes(b"")
    assert run_in(directory) == summary
    assert contents(directory) == before
    assert "put back from the last checkpoint" in caplog.messages[-1]
    assert checkpoint_path(directory, 4).exists()  # the wish of the run, not of this command


def test_a_kill_before_the_checkpoints_were_cleared_is_made_up_for(run_in, tmp_path):
    directory = tmp_path / "run"
    run_in(directory, KEEP)
    written = read_json(directory / "manifest.json")
    written["config"]["checkpoints"]["after_finish"] = "none"
    write_json(directory / "manifest.json", written)
    run_in(directory)
    assert not (directory / "checkpoints").exists()
    # a run of an older version made no such wish
    (directory / "checkpoints").mkdir()
    del written["config"]["checkpoints"]
    write_json(directory / "manifest.json", written)
    run_in(directory)
    assert (directory / "checkpoints").exists()


def test_a_leg_under_another_revision_is_said_and_kept(run_in, cut, monkeypatch, caplog):
    first = read_json(cut / "manifest.json")
    monkeypatch.setattr(manifest, "git", lambda: {"revision": "c" * 40, "dirty": False})
    summary, made = run_in(cut), read_json(cut / "manifest.json")
    assert made["git"] == first["git"] and len(made["legs"]) == 2
    assert made["exact_resume"] is False and summary["exact_resume"] is False
    assert [leg["from_iteration"] for leg in made["legs"]] == [0, 3]
    assert made["legs"] == read_json(cut / LEGS)["legs"]
    assert sum("goes on from iteration 3 under another code rev" in m for m in caplog.messages) == 1
    assert any(w.startswith("it was cut and went on under another") for w in summary["warnings"])


def test_a_stage_of_other_packages_is_taken_and_said(run_in, tmp_path, caplog):
    store = f"paths.artifacts={tmp_path / 'artifacts'}"
    summary = run_in(tmp_path / "sft", store, "stage=sft")
    path = tmp_path / "artifacts" / "sft" / summary["fingerprints"]["sft"] / "manifest.json"
    made = read_json(path)
    assert made["exact_resume"] is True and [leg["from_iteration"] for leg in made["legs"]] == [0]
    assert summary["exact_resume"] is True
    versions = {**made["versions"], "torch": "2.4.0", "mlflow": "1.0"}
    write_json(path, sealed({**made, "versions": versions}, path.parent))
    run_in(tmp_path / "run", store, "scorer=gold", "ppo.value_init=policy")
    (message,) = [m for m in caplog.messages if "is taken as it is" in m]
    assert f"was made with torch 2.4.0 (now {manifest.versions()['torch']}):" in message
    noted = read_json(tmp_path / "run" / "manifest.json")["parents_made_with"]
    assert noted["sft"]["versions"]["torch"] == "2.4.0"


def test_a_checkpoint_of_the_first_format_is_gone_on_from(run_in, stop_at, tmp_path):
    """A file of the format before there were numbers of formats: its weights replace those of the
    run, which ends as any other."""
    own = ["model.hidden_size=4", "kl/controller=pid", "kl.controller.target=0.05"]
    directory = tmp_path / "run"
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(directory, *own)
    shutil.rmtree(directory / "checkpoints")
    (directory / "checkpoints").mkdir()
    for path in FIRST.iterdir():
        at = directory / "checkpoints" if path.stem.startswith("iteration") else directory
        shutil.copy(path, at / path.name)
    summary = run_in(directory, *own)
    assert summary["iterations"] == 4
    made = [read_jsonl(place / "metrics.jsonl") for place in (FIRST, directory)]
    assert made[1][:3] == made[0] and [row["iteration"] for row in made[1]] == [0, 1, 2, 3, 4]
    assert read_json(directory / "manifest.json")["legs"][-1]["from_iteration"] == 2


@pytest.mark.parametrize("left", [(4,), (3,), ()])
def test_records_come_back_from_the_last_iteration_alone(run_in, tmp_path, monkeypatch, left):
    """Killed after the summary, while the checkpoints were removed, and a file emptied since: an
    older checkpoint's copy is another file, and nothing is written."""

    class Killed(BaseException):
        pass

    directory, rmtree = tmp_path / "run", shutil.rmtree

    def kill(path, **kwargs):
        if path == directory / "checkpoints":
            raise Killed
        rmtree(path, **kwargs)

    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(shutil, "rmtree", kill)
        run_in(directory)
    assert not is_complete(directory)  # so that a sweep's next command comes to it
    for path in (directory / "checkpoints").iterdir():
        if not any(path.stem == f"iteration-{i:06d}" for i in left):
            path.unlink()
    before = contents(directory)
    (directory / "by_prompt.jsonl").write_bytes(b"")
    if left == (4,):
        run_in(directory)
    else:
        with pytest.raises(RunFailed, match=r"has 0 of \d+ lines\. Nothing was changed\."):
            run_in(directory)
        assert contents(directory) == {**before, "by_prompt.jsonl": b""}
        (directory / "by_prompt.jsonl").write_bytes(before["by_prompt.jsonl"])
        run_in(directory)
    assert contents(directory) == before and not (directory / "checkpoints").exists()
