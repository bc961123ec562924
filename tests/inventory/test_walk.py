"""What lies in folders of results, and who needs whom."""

import json
import os

import pytest

from rlhf.inventory import Key, freed, take_inventory
from tests.inventory.made import PRINTS, artifact, stages, stand_on


@pytest.fixture
def place(rundirs, tmp_path, monkeypatch):
    """Two jobs of a sweep and one that never began; a single run; SFT, reward model, best of n and
    the policy of the first job."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "outputs" / "artifacts"
    stages(root)
    artifact(root, "best_of_n", "b" * 16, parents=("sft", "reward_model"))
    sweep = tmp_path / "sweeps" / "s"
    first = rundirs.make_run(sweep / "kl0", config={"best_of_n": {"samples": 8}})
    policy = artifact(root, "ppo", "a" * 16, parents=("sft", "reward_model"), run="sweeps/s/kl0")
    (first / "policy").mkdir()
    os.link(policy / "model.safetensors", first / "policy" / "model.safetensors")
    stand_on(first, "sft", "reward_model", own="a" * 16)
    stand_on(rundirs.make_run(sweep / "kl1", state="failed"), "sft")
    names = ("kl0", "kl1", "kl2")
    jobs = [{"name": name, "overrides": [f"kl.coef={name}"]} for name in names]
    listed = {"name": "s", "study": "unit", "overrides": ["x=1"], "jobs": jobs}
    (sweep / "sweep.json").write_text(json.dumps(listed))
    rundirs.make_run(tmp_path / "outputs" / "unit" / "single")
    return tmp_path


def test_everything_is_found(place):
    found = take_inventory()
    assert [run.name for run in found.runs] == ["single"]
    (sweep,) = found.sweeps
    assert {job.name: job.state for job in sweep.jobs} == {
        "kl0": "finished",
        "kl1": "failed",
        "kl2": "not started",
    }
    assert (sweep.name, sweep.study, sweep.overrides) == ("s", "unit", ("x=1",))
    assert (sweep.parent, sweep.report, sweep.damage) == (None, None, ())
    assert {a.key.stage for a in found.artifacts} == {"sft", "reward_model", "best_of_n", "ppo"}
    assert all(a.damage == () for a in found.artifacts)
    assert found.leftovers == ()


def test_who_needs_whom(place):
    found = take_inventory()
    users = {a.key.stage: {path.name for path in a.used_by} for a in found.artifacts}
    made = {"a" * 16, "b" * 16}
    assert users["ppo"] == {"kl0"}  # which ended in it
    assert users["best_of_n"] == {"kl0"}  # which asked for one of the same stages
    assert users["reward_model"] == {"kl0"} | made
    assert users["sft"] == {"kl0", "kl1", PRINTS["reward_model"]} | made


def test_weights_with_two_names_are_counted_once(place):
    found = take_inventory()
    (sweep,) = found.sweeps
    policy = next(a for a in found.artifacts if a.key.stage == "ppo")
    both = sweep.disk.bytes + policy.disk.bytes
    assert both - freed([sweep.disk, policy.disk]) == policy.disk.linked[0].bytes >= 5000


def test_a_policy_that_others_begin_from(place, rundirs):
    config = {"sft": {"path": "sweeps/s/kl0/policy"}}
    after = rundirs.make_run(place / "outputs" / "unit" / "after", config=config)
    stand_on(after, "sft")
    (sweep,) = take_inventory().sweeps
    assert [path.name for path in sweep.jobs[0].used_by] == ["after"]


def test_an_adapter_needs_the_network_beside_it(place):
    root = place / "outputs" / "artifacts"
    base = artifact(root, "backbone", "c" * 16)
    adapter = artifact(root, "sft", "e" * 16)
    named = {"base_model_name_or_path": f"/elsewhere/artifacts/backbone/{base.name}"}
    (adapter / "adapter_config.json").write_text(json.dumps(named))
    found = {a.key: a for a in take_inventory().artifacts}
    assert [p.name for p in found[Key("backbone", "c" * 16)].used_by] == ["e" * 16]


def test_points_of_a_path_need_their_artifacts(place, rundirs):
    run = rundirs.make_run(place / "outputs" / "unit" / "path")
    point = rundirs.make_run(run / "points" / "first")
    stand_on(point, "sft", own="1" * 16)
    summary = json.loads((point / "summary.json").read_text())
    at = {"run": "path", "point": 0, "points": 2}
    (point / "summary.json").write_text(json.dumps({**summary, "path": at}))
    artifact(place / "outputs" / "artifacts", "ppo", "1" * 16, parents=("sft",))
    found = take_inventory()
    path = next(entry for entry in found.runs if entry.name == "path")
    assert [entry.name for entry in path.points] == ["first"]
    own = next(a for a in found.artifacts if a.key.fingerprint == "1" * 16)
    assert [p.name for p in own.used_by] == ["first"]


def test_what_was_left_over_beside_artifacts(place):
    root = place / "outputs" / "artifacts" / "sft"
    for name in ("1.work", "2.incomplete-44", "3.damaged", "4.work"):
        (root / name).mkdir()
        (root / name / "x").write_text("x")
    at_work = {"state": "running", "pid": os.getpid(), "time": 4e9}
    (root / "4.work" / "status.json").write_text(json.dumps(at_work))
    left = {entry.directory.name: entry for entry in take_inventory().leftovers}
    assert {name: entry.kind for name, entry in left.items()} == {
        "1.work": "work",
        "2.incomplete-44": "incomplete",
        "3.damaged": "damaged",
        "4.work": "work",
    }
    assert left["1.work"].at_work is None and left["4.work"].at_work is True
    assert left["3.damaged"].key == Key("sft", "3")


def test_damage_is_told_and_stops_nothing(place):
    root = place / "outputs" / "artifacts"
    (root / "sft" / PRINTS["sft"] / "manifest.json").write_text("{")
    (root / "ppo" / ("a" * 16) / "model.safetensors").unlink()
    (root / "reward_model" / PRINTS["reward_model"] / "model.safetensors").write_bytes(b"w")
    (place / "sweeps" / "s" / "sweep.json").write_text("[1]")
    bare = place / "outputs" / "unit" / "bare"
    bare.mkdir()
    (bare / "metrics.jsonl").write_text("no json\n")
    found = take_inventory()
    damage = {a.key.stage: a.damage for a in found.artifacts}
    assert damage["sft"] == ("manifest.json cannot be read",)
    assert damage["ppo"] == ("model.safetensors is gone",)
    assert damage["reward_model"] == ("model.safetensors has 1 bytes of 5000",)
    (sweep,) = found.sweeps
    assert sweep.damage and {job.name for job in sweep.jobs} == {"kl0", "kl1"}
    run = next(entry for entry in found.runs if entry.name == "bare")
    assert run.damage[0].endswith("summary.json are gone")


def test_other_things_beside_them(place):
    (place / "outputs" / "mlartifacts" / "1" / "run").mkdir(parents=True)
    (place / "outputs" / "mlartifacts" / "1" / "run" / "manifest.json").write_text("{}")
    (place / "outputs" / "mlflow.db").write_bytes(b"x" * 3000)
    found = take_inventory()
    assert [other.path.name for other in found.others] == ["mlartifacts", "mlflow.db"]
    assert [run.name for run in found.runs] == ["single"]


def test_places_that_are_named(place):
    assert [s.name for s in take_inventory(place / "sweeps" / "s").sweeps] == ["s"]
    (run,) = take_inventory(place / "sweeps" / "s" / "kl1").runs
    assert run.state == "failed"
    (own,) = take_inventory(place / "outputs" / "artifacts" / "ppo" / ("a" * 16)).artifacts
    assert own.key == Key("ppo", "a" * 16)
    assert len(take_inventory(place / "outputs" / "artifacts").artifacts) == 4
    both = take_inventory(place / "sweeps", place / "sweeps" / "s")
    assert len(both.sweeps) == 1
    assert take_inventory(place / "nowhere").runs == ()


def test_who_needs_it_may_lie_elsewhere(place):
    root = place / "outputs" / "artifacts" / "sft"
    (alone,) = take_inventory(root / PRINTS["sft"]).artifacts
    assert alone.used_by == ()
    found = take_inventory(root / PRINTS["sft"], among=[place / "outputs", place / "sweeps"])
    assert {path.name for path in found.artifacts[0].used_by} >= {"kl0", "kl1"}
    assert len(found.artifacts) == 1 and found.sweeps == () and found.runs == ()
