import logging

import torch

from rlhf.callbacks.checkpoint import AtomicCheckpointIO, Start, checkpoint_path
from rlhf.rundir.files import append_jsonl, write_json
from rlhf.rundir.read import read_json
from rlhf.stages.provenance import legs


def leg(first, torch="2.9.1", **more):
    return {
        "from_iteration": first,
        "processor": "A",
        "threads": 1,
        "versions": {"torch": torch, "mlflow": "3.1"},
        "git": {"revision": "a" * 40, "dirty": False},
        "hardware": {"machine": "x86_64", "cpu": "AVX2"},
        **more,
    }


def test_legs_that_were_made_again_do_not_count():
    one, two, three = leg(0), leg(5), leg(3)
    assert legs.counting([one, two]) == [one, two]
    assert legs.counting([one, two, three]) == [one, three]
    assert legs.counting([one, two, leg(0)]) == [leg(0)]
    assert legs.counting([one, leg(5, "x"), leg(5, "y")]) == [one, leg(5, "y")]


def test_what_can_change_numbers_is_a_difference_and_nothing_else_is():
    assert legs.differences([leg(0), leg(5, host="other", versions={"torch": "2.9.1"})]) == []
    assert legs.differences([leg(0), leg(5, "2.10.0")]) == ["torch (2.9.1, then 2.10.0)"]
    dirty = {"revision": "a" * 40, "dirty": True, "changes": "0123456789"}
    assert legs.differences([leg(0), leg(2, git=dirty, processor="B", threads=2)]) == [
        "code revision (aaaaaaaaaaaa, then aaaaaaaaaaaa with changes 01234567)",
        "processor (A, then B)",
        "threads (1, then 2)",
    ]
    gpus = [leg(i, hardware={"cpu": "AVX2", "gpu": g}) for i, g in ((0, "T4"), (1, "H100"))]
    assert legs.differences(gpus) == ["GPU (T4, then H100)"]
    assert legs.differences([leg(0), leg(1), leg(0, "2.10.0")]) == []


def test_the_manifest_keeps_what_the_run_began_with():
    made = legs.provenance([leg(0), leg(5, "2.10.0")])
    assert made["versions"]["torch"] == "2.9.1" and made["exact_resume"] is False
    assert made["resumed_under_another"] == ["torch (2.9.1, then 2.10.0)"]
    assert [each["from_iteration"] for each in made["legs"]] == [0, 5]
    anew = legs.provenance([leg(0), leg(0, "2.10.0")])
    assert anew["versions"]["torch"] == "2.10.0" and anew["exact_resume"] is True
    assert "resumed_under_another" not in anew and len(anew["legs"]) == 2
    assert legs.provenance([]) == {"legs": []}


def test_a_leg_is_added_to_the_directory_and_said_where_it_differs(tmp_path, caplog):
    start = Start(checkpoint_path(tmp_path, 3), {checkpoint_path(tmp_path, 4): "damaged"})
    legs.begin(tmp_path, Start(), config_hash="abc")
    (first,) = legs.read(tmp_path)
    assert first["from_iteration"] == 0 and first["checkpoint"] is None
    assert first["versions"]["torch"] == torch.__version__ and first["config_hash"] == "abc"
    assert first["threads"] == torch.get_num_threads() and first["host"] and first["processor"]
    write_json(tmp_path / legs.FILE, {"legs": [{**first, "processor": "another"}]})
    write_json(tmp_path / "manifest.json", {"kind": "run", "name": "r"})
    assert not caplog.messages
    legs.begin(tmp_path, start, config_hash="abc")
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest["name"] == "r" and manifest["exact_resume"] is False
    assert manifest["legs"] == legs.read(tmp_path) and len(manifest["legs"]) == 2
    assert manifest["legs"][1]["refused"] == {"iteration-000004.ckpt": "damaged"}
    (message,) = caplog.messages
    assert (
        f"goes on from iteration 3 under another processor (another, then {legs.processor()})"
        in (message)
    )
    assert "exact_resume=false" in message


def test_the_first_leg_of_a_run_of_an_older_version_is_its_manifest(tmp_path):
    made = {"kind": "run", "versions": {"torch": "2.4.0"}, "git": {}, "hardware": {"cpu": "AVX2"}}
    write_json(tmp_path / "manifest.json", made)
    (only,) = legs.read(tmp_path)
    assert only["from_iteration"] == 0 and only["versions"] == {"torch": "2.4.0"}
    legs.begin(tmp_path, Start(checkpoint_path(tmp_path, 2)), config_hash="abc")
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest["versions"] == {"torch": "2.4.0"} and manifest["exact_resume"] is False
    write_json(tmp_path / "manifest.json", {"kind": "artifact", "versions": {}})
    (tmp_path / legs.FILE).unlink()
    assert legs.read(tmp_path) == []


def rows(directory, count):
    append_jsonl(directory / "metrics.jsonl", [{"iteration": i} for i in range(count)])


def test_a_start_is_silent_where_nothing_is_wrong(tmp_path, caplog):
    assert legs.starting_point(tmp_path) == Start()
    rows(tmp_path, 1)
    legs.starting_point(tmp_path)
    AtomicCheckpointIO().save_checkpoint({}, checkpoint_path(tmp_path, 2))
    rows(tmp_path, 4)
    assert legs.starting_point(tmp_path).iteration == 2
    assert not caplog.messages


def test_a_start_says_what_it_passes_over_and_what_is_made_again(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    paths = [checkpoint_path(tmp_path, i) for i in (2, 4)]
    for path in paths:
        AtomicCheckpointIO().save_checkpoint({}, path)
    rows(tmp_path, 6)
    paths[1].write_bytes(b"")
    assert legs.starting_point(tmp_path, "epoch").path == paths[0]
    assert caplog.messages == [
        f"{paths[1]} is not used: its content is not what its sha256 says: it was damaged; set"
        " aside as iteration-000004.ckpt.damaged",
        f"{tmp_path} goes on from epoch 2: epochs 3 to 5 are made again",
    ]
    caplog.clear()
    paths[0].write_bytes(b"")
    assert legs.starting_point(tmp_path).path is None
    assert caplog.messages[1] == (
        f"{tmp_path} begins again at iteration 0, as no checkpoint of it can be used: iterations 1"
        " to 5 are made again"
    )
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["iteration-000002.ckpt.damaged", "iteration-000004.ckpt.damaged"]


def test_odd_legs_are_left_out(tmp_path):
    odd = [5, {}, {"from_iteration": "x"}, {"from_iteration": 1, "versions": 5, "git": [1]}]
    write_json(tmp_path / legs.FILE, {"legs": odd})
    assert legs.read(tmp_path) == odd[3:] and legs.differences([leg(0), odd[3]]) == []
    write_json(tmp_path / legs.FILE, {"legs": 5})
    assert legs.read(tmp_path) == []


def test_a_training_whose_beginning_is_lost_is_no_exact_one():
    """Nothing says under which code iterations 1 to 3 were made."""
    made = legs.provenance([leg(3)])
    assert made["exact_resume"] is False
    assert made["resumed_under_another"] == [
        "code or machine, perhaps: nothing tells what made the first 3"
    ]
    assert legs.provenance([leg(3), leg(0)])["exact_resume"] is True
